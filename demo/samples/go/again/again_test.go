package again

import (
	"os"
	"testing"
)

// Fails the first time and passes from then on, in a further process, too.
func TestSecondTime(t *testing.T) {
	if _, err := os.Stat("tried"); err != nil {
		os.WriteFile("tried", nil, 0o600)
		t.Fatal("the warehouse did not answer")
	}
}

func TestSteady(t *testing.T) {}
