package query

import "strconv"

// number returns the number that JSON.parse makes of v, which is one. A number too large for a float64 is an infinity.
func (v value) number() float64 {
	if f, ok := shortNumber(v.raw); ok {
		return f
	}
	f, _ := strconv.ParseFloat(string(v.raw), 64) // on a range error the value is the infinity that JSON.parse gives too
	return f
}

// shortNumber parses up to 15 digits with or without a point. Such a number is one exact division of two exact floats (Clinger
// 1990), which IEEE 754 rounds correctly.
func shortNumber(raw []byte) (f float64, ok bool) {
	i, negative := 0, false
	if len(raw) > 0 && raw[0] == '-' {
		i, negative = 1, true
	}
	digits, point, mantissa := 0, -1, int64(0)
	for ; i < len(raw); i++ {
		switch c := raw[i]; {
		case '0' <= c && c <= '9':
			mantissa = mantissa*10 + int64(c-'0')
			digits++
		case c == '.' && point < 0:
			point = digits
		default:
			return 0, false
		}
		if digits > 15 {
			return 0, false
		}
	}
	if digits == 0 {
		return 0, false
	}
	f = float64(mantissa)
	if negative {
		f = -f // of zero this is -0, as in JavaScript
	}
	if point >= 0 {
		f /= powerOfTen(digits - point)
	}
	return f, true
}

// powerOfTen returns 10 to the n, exact for n up to 22.
func powerOfTen(n int) float64 {
	f := 1.0
	for range n {
		f *= 10
	}
	return f
}
