package flaky

import "testing"

var tries int

func TestEverySecondTime(t *testing.T) {
	if tries++; tries == 1 {
		t.Fatal("the warehouse did not answer")
	}
}
