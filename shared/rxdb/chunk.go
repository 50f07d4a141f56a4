package rxdb

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// chunkUnits is the length, in UTF-16 code units, of the longest message that is sent whole, and of the pieces of longer ones:
// SIMPLE_PEER_MAX_MESSAGE_LENGTH of RxDB's connection-handler-simple-peer.ts.
const chunkUnits = 16 << 10

// split returns the texts that a message is sent as: itself, or chunks of it. Like RxDB it cuts between UTF-16 code units, also those of one
// character.
func split(message []byte, rng *rand.Rand) [][]byte {
	units := utf16Len(message)
	if units <= chunkUnits {
		return [][]byte{message}
	}
	return chunks(message, units, RandomToken(rng))
}

// chunks returns the chunks of a message with so many code units.
func chunks(message []byte, units int, id string) [][]byte {
	total := (units + chunkUnits - 1) / chunkUnits
	texts := make([][]byte, 0, total)
	c := cutter{rest: message}
	for index := range total {
		text := append([]byte(`{"chunk":{"id":"`), id...)
		text = append(text, `","index":`...)
		text = strconv.AppendInt(text, int64(index), 10)
		text = append(text, `,"total":`...)
		text = strconv.AppendInt(text, int64(total), 10)
		text = append(text, `,"data":"`...)
		text = c.appendUnits(text, chunkUnits)
		texts = append(texts, append(text, `"}}`...))
	}
	return texts
}

// utf16Len is the length of valid UTF-8 in UTF-16 code units. Bytes that are none count as U+FFFD, which they will be sent as.
func utf16Len(s []byte) int {
	units := 0
	for len(s) > 0 {
		if s[0] < utf8.RuneSelf {
			units++
			s = s[1:]
			continue
		}
		r, size := utf8.DecodeRune(s)
		units++
		if r > 0xFFFF {
			units++
		}
		s = s[size:]
	}
	return units
}

// cutter takes UTF-16 code units off a text.
type cutter struct {
	rest []byte
	low  rune // the second half of a pair whose first half was taken
}

const hexDigits = "0123456789abcdef"

// appendUnits appends n code units, or what is left, as the inside of a JSON string, escaped as JSON.stringify does (ECMA-262 section
// 25.5.2.3 QuoteJSONString).
func (c *cutter) appendUnits(dst []byte, n int) []byte {
	for ; n > 0; n-- {
		if c.low != 0 {
			dst = appendEscape(dst, c.low)
			c.low = 0
			continue
		}
		if len(c.rest) == 0 {
			break
		}
		r, size := utf8.DecodeRune(c.rest)
		switch {
		case r < 0x20 || r == '"' || r == '\\':
			dst = appendControl(dst, byte(r))
		case r <= 0xFFFF:
			dst = utf8.AppendRune(dst, r)
		case n == 1:
			dst = appendEscape(dst, 0xD800+(r-0x10000)>>10)
			c.low = 0xDC00 + (r-0x10000)&0x3FF
		default:
			dst = utf8.AppendRune(dst, r)
			n--
		}
		c.rest = c.rest[size:]
	}
	return dst
}

func appendControl(dst []byte, b byte) []byte {
	switch b {
	case '"', '\\':
		return append(dst, '\\', b)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return appendEscape(dst, rune(b))
}

func appendEscape(dst []byte, unit rune) []byte {
	return append(dst, '\\', 'u', hexDigits[unit>>12&15], hexDigits[unit>>8&15], hexDigits[unit>>4&15], hexDigits[unit&15])
}

// RandomToken is an id as RxDB's randomToken(10) makes them.
func RandomToken(rng *rand.Rand) string {
	b := make([]byte, 10)
	for i := range b {
		b[i] = 'a' + byte(rng.IntN(26))
	}
	return string(b)
}

// joiner puts messages together. It is used by one goroutine.
type joiner struct {
	partial   []*partial // the oldest first
	bytes     int        // of all in partial
	discarded []string   // ids of messages that are too long, whose chunks are thrown away
}

// partial is a message of which not all chunks have come. The chunks are kept as they stand in the text, escapes included: where a
// character was cut in two, its halves are two escapes, which joined name the character.
type partial struct {
	id    string
	parts [][]byte
	got   int
	bytes int
}

// join takes a text and returns the message that is complete with it, nil if there is none. tooLong tells that the text belongs to a message longer than
// MaxMessage, of which this is the first news.
func (j *joiner) join(text []byte) (message []byte, tooLong bool, err error) {
	if len(text) > MaxText {
		return nil, false, fmt.Errorf("%w: text of %d bytes, at most %d are allowed", ErrLimit, len(text), MaxText)
	}
	if !isObject(text) {
		return nil, false, fmt.Errorf("%w: not a JSON object", ErrMessage)
	}
	chunk := gjson.GetBytes(text, "chunk")
	if !chunk.Exists() || chunk.Type == gjson.Null || chunk.Type == gjson.False {
		return text, false, nil
	}
	return j.chunk(chunk)
}

func (j *joiner) chunk(chunk gjson.Result) (message []byte, tooLong bool, err error) {
	id, data := chunk.Get("id"), chunk.Get("data")
	index, okIndex := wholeNumber(chunk.Get("index"))
	total, okTotal := wholeNumber(chunk.Get("total"))
	if id.Type != gjson.String || len(id.Str) > maxIDText || data.Type != gjson.String || !okIndex || !okTotal || index >= total {
		return nil, false, fmt.Errorf("%w: chunk without id, index, total and data that fit", ErrMessage)
	}
	if slices.Contains(j.discarded, id.Str) {
		return nil, false, nil
	}
	i := slices.IndexFunc(j.partial, func(p *partial) bool { return p.id == id.Str })
	if i < 0 {
		if total > MaxMessage/chunkUnits+1 {
			j.discard(id.Str)
			return nil, true, nil
		}
		i = j.begin(id.Str, total)
	}
	p := j.partial[i]
	if len(p.parts) != total {
		return nil, false, fmt.Errorf("%w: chunks of one message tell %d and %d as their number", ErrMessage, len(p.parts), total)
	}
	j.put(p, index, data.Raw[1:len(data.Raw)-1])
	switch {
	case p.bytes > maxPartialBytes:
		j.drop(i)
		j.discard(p.id)
		return nil, true, nil
	case p.got < total:
		for j.bytes > maxPartialBytes {
			j.drop(0) // the oldest: it may never be complete
		}
		return nil, false, nil
	}
	j.drop(i)
	return p.message()
}

// begin notes a new message and returns its place.
func (j *joiner) begin(id string, total int) int {
	if len(j.partial) >= maxPartial {
		j.drop(0)
	}
	j.partial = append(j.partial, &partial{id: id, parts: make([][]byte, total)})
	return len(j.partial) - 1
}

// put keeps one part. The text that raw belongs to is not kept with it.
func (j *joiner) put(p *partial, index int, raw string) {
	if old := p.parts[index]; old != nil {
		p.bytes -= len(old)
		j.bytes -= len(old)
		p.got--
	}
	p.parts[index] = append(make([]byte, 0, len(raw)), raw...)
	p.bytes += len(raw)
	j.bytes += len(raw)
	p.got++
}

func (j *joiner) drop(i int) {
	j.bytes -= j.partial[i].bytes
	j.partial = slices.Delete(j.partial, i, i+1)
}

func (j *joiner) discard(id string) {
	if len(j.discarded) >= maxDiscarded {
		j.discarded = slices.Delete(j.discarded, 0, 1)
	}
	j.discarded = append(j.discarded, id)
}

func (p *partial) message() (message []byte, tooLong bool, err error) {
	literal := append(make([]byte, 0, p.bytes+2), '"')
	for _, part := range p.parts {
		literal = append(literal, part...)
	}
	var joined string
	if err := json.Unmarshal(append(literal, '"'), &joined); err != nil {
		return nil, false, fmt.Errorf("%w: join chunks: %w", ErrMessage, err)
	}
	message = []byte(joined)
	switch {
	case len(message) > MaxMessage:
		return nil, true, nil
	case !isObject(message):
		return nil, false, fmt.Errorf("%w: chunks do not join to a JSON object", ErrMessage)
	}
	return message, false, nil
}

// wholeNumber returns a number of 0 to 2^31-1.
func wholeNumber(v gjson.Result) (int, bool) {
	n := int(v.Num)
	return n, v.Type == gjson.Number && v.Num >= 0 && v.Num < 1<<31 && float64(n) == v.Num
}

// maxBrackets is how many brackets a text may have before it is parsed by the slower parser, which bounds their depth.
const maxBrackets = 1000

// isObject reports whether text is one JSON object.
func isObject(text []byte) bool {
	valid := gjson.ValidBytes
	if bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) > maxBrackets {
		valid = json.Valid
	}
	return valid(text) && bytes.TrimLeft(text, " \t\r\n")[0] == '{'
}
