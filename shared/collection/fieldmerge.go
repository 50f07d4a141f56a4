package collection

import (
	"context"

	"github.com/tidwall/gjson"
)

// FieldMerge is a Handler that merges two versions field by field, at the top level of the documents: a field that one side changed, compared with the
// version that both were made from, is taken from that side; one that both changed from the later version. A field that one side
// took out and the other left alone is gone. If the common version is not held any more, every field is taken from
// the later version that has it, else from the earlier. If one side deleted the document, the later version wins as a whole.
type FieldMerge struct{}

var _ Handler = FieldMerge{}

// Equal implements Handler.
func (FieldMerge) Equal(_ context.Context, a, b Content) (bool, error) {
	return EqualContent(a, b), nil
}

// Resolve implements Handler.
func (FieldMerge) Resolve(_ context.Context, c Conflict) (Content, error) {
	if c.Real.Deleted || c.New.Deleted {
		return c.Real, nil
	}
	later, err := parseObject(c.Real.Body)
	if err != nil {
		return Content{}, err
	}
	earlier, err := parseObject(c.New.Body)
	if err != nil {
		return Content{}, err
	}
	var base object
	if c.Assumed != nil && !c.Assumed.Deleted {
		if base, err = parseObject(c.Assumed.Body); err != nil {
			return Content{}, err
		}
	}
	var out object
	for _, f := range later {
		if keep, ok := mergeField(f, earlier, base); ok {
			out = append(out, keep)
		}
	}
	for _, f := range earlier {
		if later.index(f.name) >= 0 {
			continue
		}
		if was, ok := base.get(f.name); !ok || !equalValue(was, f.value) {
			out = append(out, f) // added or changed by the earlier side, of which the later did not know
		}
	}
	return Content{Body: out.encode()}, nil
}

// mergeField returns what becomes of a field that the later version has.
func mergeField(later field, earlier, base object) (field, bool) {
	was, existed := base.get(later.name)
	unchanged := existed && equalValue(was, later.value)
	switch i := earlier.index(later.name); {
	case i >= 0 && unchanged:
		return earlier[i], true
	case i < 0 && unchanged:
		return field{}, false // taken out by the earlier side
	}
	return later, true
}

func equalValue(a, b gjson.Result) bool {
	return equalJSON([]byte(a.Raw), []byte(b.Raw))
}
