*** Settings ***
Library    Collections

*** Variables ***
&{PRICES}    apple=${40}    bread=${250}

*** Test Cases ***
An Article Has A Price
    Dictionary Should Contain Key    ${PRICES}    apple

Two Loaves Cost Twice As Much
    ${total} =    Evaluate    2 * ${PRICES}[bread]
    Should Be Equal As Integers    ${total}    500

Unicorns Are For Sale
    Dictionary Should Contain Key    ${PRICES}    unicorn

Vouchers
    Skip    vouchers are not for sale yet
