//go:build !js

package rtc_test

import "testing"

const native = true

func needRTC(*testing.T) {}
