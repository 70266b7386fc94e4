#!/usr/bin/env bash
# Writes every file of demo/data and of tests/data (but tests/data/written) again, from the samples beside this script.
#
#   demo/samples/generate.sh BUILD_DIRECTORY
#
# BUILD_DIRECTORY is made anew; nothing else in the repository is touched but the two data directories. The tools have to
# be installed (their versions are in tests/data/README.md and demo/README.md) and these variables may say where:
#   PY   directory with python, robot, behave, nose2, stestr      (default: the first python3 on the PATH)
#   JS   node_modules with jest, mocha, vitest, ... and .bin      (default: js/node_modules)
#   JS11 node_modules with mocha 11, which the older reporters need
#   GO   go 1.24 or newer;  GO_OLD  go 1.19
#   M2   a Maven repository with the surefire plug-in
# Test runs with failures are meant: the exit codes of the tools are ignored.
set -uo pipefail
samples=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$samples/../.." && pwd)
rm -rf "$1" && mkdir -p "$1" && build=$(cd "$1" && pwd)
PY=${PY:-$(dirname "$(command -v python3)")} GO=${GO:-go} GO_OLD=${GO_OLD:-go} JS=${JS:-} JS11=${JS11:-} M2=${M2:-$HOME/.m2/repository}
data=$repository/tests/data demo=$repository/demo/data
export PYTHONDONTWRITEBYTECODE=1 NO_COLOR=1 LC_ALL=C.UTF-8 GOTOOLCHAIN=local GOPROXY=off GOFLAGS=-mod=mod
cp -r "$samples/." "$build/"
[ -z "$JS" ] || ln -s "$JS" "$build/js/node_modules"
find "$data" -maxdepth 1 -type f ! -name README.md -delete
rm -rf "$data/surefire" "$data/behave" "$demo" && mkdir -p "$data" "$demo/run-1" "$demo/run-2"
bin=$build/js/node_modules/.bin

run() { # NAME COMMAND...: run it quietly, keep what it says in BUILD/NAME.log
    local log=$build/$1.log
    shift
    "$@" >>"$log" 2>&1 || true
}

# --- the demo: the same samples at two revisions ------------------------------------------------------------------
for SHOP_REVISION in 1 2; do
    export SHOP_REVISION
    out=$demo/run-$SHOP_REVISION
    cd "$build/python" || exit 1
    run demo "$PY/python" -m pytest tests --junit-xml="$out/pytest-1.xml"
    run demo env SHOP_RETRY=1 "$PY/python" -m pytest tests --last-failed --junit-xml="$out/pytest-2-retry.xml"
    rm -rf .pytest_cache
    cd "$build/go" || exit 1
    "$GO" test -json -count=1 ./cart >"$out/go.json" 2>>"$build/demo.log"
    cd "$build/java" || exit 1
    rm -rf target && mkdir -p target/classes target/test-classes
    run demo javac -cp /usr/share/java/junit4.jar:/usr/share/java/hamcrest-core.jar -d target/test-classes src/test/java/shop/*.java
    run demo mvn -o -B -Dmaven.repo.local="$M2" -Dsurefire.rerunFailingTestsCount=1 \
        org.apache.maven.plugins:maven-surefire-plugin:2.22.3:test
    cp target/surefire-reports/*.xml "$out/"
    [ "$SHOP_REVISION" = 1 ] || { mkdir -p "$data/surefire" && cp target/surefire-reports/*.xml "$data/surefire/"; }
    cd "$build/js" || exit 1
    run demo "$bin/playwright" test --reporter=line,playwright-ctrf-json-reporter && cp ctrf/ctrf-report.json "$out/playwright-ctrf.json"
    run demo "$bin/mocha" --retries 1 --reporter json --reporter-option output="$out/mocha.json" spec
    node --test --test-reporter=tap node/cart.test.js >"$out/node.tap" 2>>"$build/demo.log"
    run demo "$bin/cucumber-js" features --require 'features/support/*.js' --retry 1 --format message:"$out/cucumber.ndjson"
    cd "$build/cpp" || exit 1
    [ -d build ] || { run demo cmake -S . -B build && run demo cmake --build build; }
    run demo ./build/gtest_cart --gtest_output=xml:"$out/gtest.xml"
done

# --- the tests' data: revision 2, one file a tool -------------------------------------------------------------------
cd "$build/python" || exit 1
run pytest-xunit2 "$PY/python" -m pytest tests --junit-xml="$data/pytest-xunit2.xml"
run pytest-xunit1 "$PY/python" -m pytest tests -o junit_family=xunit1 -o junit_logging=all --junit-xml="$data/pytest-xunit1.xml"
run pytest-reportlog "$PY/python" -m pytest tests --reruns 1 --report-log="$data/pytest-reportlog.jsonl"
run pytest-json-ctrf "$PY/python" -m pytest tests --ctrf "$data/pytest-json-ctrf.json"
run pytest-nunit "$PY/python" -m pytest tests --nunit-xml="$data/pytest-nunit.xml"
run xmlrunner "$PY/python" -m xmlrunner unittest_cart --output-file "$data/xmlrunner.xml"
run nose2 "$PY/nose2" --plugin nose2.plugins.junitxml --junit-xml --junit-xml-path "$data/nose2.xml" unittest_cart
"$PY/python" -m subunit.run unittest_cart 2>/dev/null | "$PY/subunit2junitxml" --no-passthrough >"$data/subunit2junitxml.xml"
run behave "$PY/behave" features --format json --outfile "$data/behave.json" --junit --junit-directory "$build/behave"
cp "$build"/behave/*.xml "$data/behave-junit.xml"
run robot "$PY/robot" --output NONE --log NONE --report NONE --xunit "$data/robot-xunit.xml" robot

cd "$build/js" || exit 1
run jest "$bin/jest" --config config/jest.config.js
cp junit.xml "$data/jest-junit.xml" && cp ctrf/ctrf-report.json "$data/jest-ctrf.json" && cp jest.trx "$data/jest.trx"
run vitest "$bin/vitest" run --config config/vitest.config.mjs --root . --reporter default --reporter junit --outputFile.junit "$data/vitest.xml"
run mocha "$bin/mocha" --retries 1 --reporter json --reporter-option output="$data/mocha.json" spec
run mochawesome "$bin/mocha" --retries 1 --reporter mochawesome \
    --reporter-options reportDir="$data",reportFilename=mochawesome,html=false,quiet=true spec
"$bin/mocha" --reporter tap spec >"$data/mocha.tap" 2>/dev/null
"$bin/mocha" --reporter xunit spec >"$build/mocha.xunit" 2>/dev/null
grep -v '^drawing' "$build/mocha.xunit" >"$data/mocha-xunit.xml"
run mocha11 env MOCHA_FILE="$data/mocha-junit-reporter.xml" node "$JS11/.bin/mocha" --reporter "$JS11/mocha-junit-reporter" spec
run mocha11 node "$JS11/.bin/mocha" --reporter "$JS11/mocha-trx-reporter" --reporter-options output="$data/mocha.trx" spec
run playwright "$bin/playwright" test --reporter=line,playwright-ctrf-json-reporter
cp ctrf/ctrf-report.json "$data/playwright-ctrf.json"
run playwright env PLAYWRIGHT_JUNIT_OUTPUT_FILE="$data/playwright-junit.xml" "$bin/playwright" test --reporter=line,junit
run playwright env PLAYWRIGHT_JUNIT_OUTPUT_FILE="$data/playwright-browsers.xml" "$bin/playwright" test --config config/browsers.config.js \
    --reporter=line,junit
run jest "$bin/jest" --config config/jest-same.config.js --runInBand && cp junit.xml "$data/jest-same.xml"
"$bin/mocha" --reporter xunit 'same/*/cart.test.js' >"$data/mocha-same.xml" 2>/dev/null
node --test --test-reporter=junit same/one/cart.test.js same/two/cart.test.js >"$data/node-same.xml"
"$bin/tap" --reporter=junit --disable-coverage --allow-empty-coverage node/tap-later.js >"$data/tap-junit.xml" 2>/dev/null
run newman "$bin/newman" run newman/collection.json --reporters junit --reporter-junit-export "$data/newman.xml"
run cucumber "$bin/cucumber-js" features --require 'features/support/*.js' --retry 1 --format json:"$data/cucumber.json" \
    --format message:"$data/cucumber.ndjson" --format junit:"$data/cucumber-junit.xml" --format progress
node --test --test-reporter=tap node/cart.test.js >"$data/node.tap"
node --test --test-reporter=junit node/cart.test.js >"$data/node-junit.xml"
node --test --test-reporter=spec node/cart.test.js >"$build/node.log"
node node/tape.js >"$data/tape.tap"
"$bin/ava" --tap node/ava.test.js >"$data/ava.tap" 2>/dev/null
node node/tap.js >"$data/tap.tap"

cd "$build/go" || exit 1
"$GO" test -json -count=1 ./cart >"$data/go-cart.json" 2>/dev/null
"$GO" test -json -count=1 ./cart ./broken ./panics >"$data/go-broken.json" 2>/dev/null
"$GO" test -json -count=2 ./flaky >"$data/go-flaky.json" 2>/dev/null
"$GO" test -json -timeout 1s ./late >"$data/go-late.json" 2>/dev/null
"$GO_OLD" test -json -count=1 ./cart ./broken ./panics >"$data/go-1.19.json" 2>&1
run gotestsum env PATH="$(dirname "$GO_OLD"):$PATH" gotestsum --junitfile "$data/gotestsum.xml" --jsonfile "$data/gotestsum.json" -- -count=1 ./cart
run gotestsum env PATH="$(dirname "$GO_OLD"):$PATH" gotestsum --rerun-fails --packages ./again --junitfile "$data/gotestsum-rerun.xml" --jsonfile "$data/gotestsum-rerun.json"
rm -f again/tried
run gotestsum env PATH="$(dirname "$GO_OLD"):$PATH" gotestsum --junitfile "$data/gotestsum-count.xml" -- -count=2 ./again

cd "$build/java5" || exit 1
jars=$(printf '%s:' /usr/share/java/{junit-jupiter-api,junit-jupiter-engine,junit-jupiter-params,junit-platform-commons,junit-platform-console,junit-platform-engine,junit-platform-launcher,junit-platform-reporting,opentest4j,opentest4j-reporting-events,opentest4j-reporting-schema,apiguardian-api,univocity-parsers,picocli}.jar)
run junit5 javac -cp "$jars" -d classes shop/OrderTest.java
run junit5 java -cp "$jars:classes" org.junit.platform.console.ConsoleLauncher --scan-classpath classes --reports-dir "$build/junit5" --disable-banner
cp "$build/junit5/TEST-junit-jupiter.xml" "$data/junit5-console.xml"

cd "$build/cpp" || exit 1
run gtest ./build/gtest_cart --gtest_output=xml:"$data/gtest.xml"
run catch2 ./build/catch_cart --reporter junit --out "$data/catch2.xml"
run boost ./build/boost_cart --logger=JUNIT,all,"$data/boost.xml"
run ctest ctest --test-dir build --output-junit "$data/ctest.xml"

cd "$build/php" || exit 1
run phpunit phpunit --log-junit "$data/phpunit.xml" CartTest.php
cd "$build/ruby" || exit 1
run rspec rspec --format progress --format RspecJunitFormatter --out "$data/rspec.xml"
cd "$build/perl" || exit 1
perl t/cart.t >"$data/perl.tap" 2>/dev/null
perl t/short.t >"$data/perl-short.tap" 2>/dev/null
prove -v t >"$data/prove.tap" 2>/dev/null
run prove prove t
cd "$build/shell" || exit 1
bats --formatter tap13 cart.bats >"$data/bats-tap13.tap"
bats --formatter tap --timing cart.bats >"$data/bats-timing.tap"
bats --formatter junit cart.bats >"$data/bats-junit.xml"
cd "$build/rust" || exit 1
CARGO_TARGET_DIR=$build/target RUST_BACKTRACE=0 RUSTC_BOOTSTRAP=1 cargo test --offline -q --lib -- --format junit -Z unstable-options \
    >"$data/cargo.xml" 2>"$build/cargo.log"
cd "$build/csharp" || exit 1
run nunit2 mcs -target:library -pkg:nunit -out:Shop.Tests.dll CartTest.cs
run nunit2 nunit-console -nologo -xml:"$data/nunit2.xml" Shop.Tests.dll

# --- nothing of this machine stays -----------------------------------------------------------------------------------
clean() {
    sed -E -i -e "s#$("$GO" env GOROOT)#/usr/local/go#g" -e "s#$("$GO_OLD" env GOROOT)#/usr/local/go#g" -e "s#$build#/home/ci/shop#g" -e "s#(\\.\\./)*${build#/}#../home/ci/shop#g" \
        -e "s#$(dirname "$PY")#/opt/python#g" -e "s#${JS:-/nowhere}#/home/ci/shop/js/node_modules#g" -e "s#${JS11:-/nowhere}#/home/ci/shop/js/node_modules#g" \
        -e "s#$("$PY/python" -c 'import sys; print(sys.base_prefix)')#/usr/local#g" \
        -e "s#$repository#/home/ci/shop#g" -e 's#name="[a-z]+@[^ "]+ #name="ci@ci-worker #g' \
        -e '/hostname="(chromium|firefox)"/!s#(hostname|machine-name|computerName|runUser|user|user-domain|domain)="[^"]*"#\1="ci-worker"#g' \
        -e 's#"cpu":\{"name":"[^"]*"\},"os":\{[^}]*\}#"cpu":{"name":"x64"},"os":{"name":"linux"}#' \
        -e "s#os-version=\"[^\"]*\"#os-version=\"1\"#g" \
        -e 's#(cpu: )[^\\]*#\1some cpu#' "$1"
    case $1 in *TEST-*.xml | *junit5-console.xml) sed -i -e '/<properties>/,/<\/properties>/d' "$1" ;; esac
}
find "$data" "$demo" -type f ! -name README.md ! -path '*/written/*' | while read -r file; do clean "$file"; done
