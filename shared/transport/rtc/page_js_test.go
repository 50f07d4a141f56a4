//go:build js

package rtc_test

const native = false
