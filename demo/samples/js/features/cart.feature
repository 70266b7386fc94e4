@cart
Feature: The cart
  What a customer wants to buy.

  Background:
    Given an empty cart

  Scenario: Nothing costs nothing
    Then the total is 0

  Scenario Outline: Prices
    When I add <quantity> "<article>"
    Then the total is <total>

    Examples:
      | quantity | article | total |
      | 1        | apple   | 40    |
      | 2        | bread   | 500   |
      | 3        | tea     | 1141  |

  Rule: Pieces are counted
    Example: Three apples
      When I add 3 "apple"
      Then there are 3 pieces

  Scenario: A step that nobody wrote
    When I pay with seashells

  Scenario: A step that is not ready
    When I pay with a voucher

  Scenario: Two steps that fit
    When I leave

  @skip
  Scenario: Gift cards
    When I add 1 "gift card"

  Scenario: The till is reached at the second try
    When I ask the till
