package panics

import "testing"

func TestFine(t *testing.T) {}

func TestNilMap(t *testing.T) {
	var prices map[string]int
	prices["apple"] = 40
}

func TestNeverReached(t *testing.T) {}
