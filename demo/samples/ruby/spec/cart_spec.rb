PRICES = { apple: 40, bread: 250, milk: 119 }.freeze

RSpec.describe 'Cart' do
  PRICES.each do |article, price|
    it("charges #{price} for #{article}") { expect(PRICES[article]).to eq(price) }
  end

  context 'with three bottles of milk' do
    it('costs 356') { expect(3 * PRICES[:milk]).to eq(356) }
    it('is heavy', skip: 'no scale here') { expect(true).to be(false) }
  end

  it('refuses unicorns') { PRICES.fetch(:unicorn) }
  it 'sells vouchers'
  it('knows roman numerals', pending: 'not before spring') { expect('4').to eq('IV') }
end
