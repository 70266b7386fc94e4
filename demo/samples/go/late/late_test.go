package late

import (
	"testing"
	"time"
)

func TestQuick(t *testing.T) {}

func TestEndless(t *testing.T) {
	time.Sleep(time.Minute)
}
