use strict;
use warnings;
use Test::More tests => 3;

pass('the first of three');
exit 0;
