package collection

import (
	"context"
	"slices"
)

// FieldMerge is a Handler that merges two versions field by field, at the top level of the documents: a field that only one side
// changed, compared with what both were made from, is taken from that side; one that both changed from the later version. A
// field that one side took out and the other left alone is gone. If what both were made from is not held any more, every field is
// taken from the later version that has it, else from the earlier. If one side deleted the document, the later version wins as a
// whole.
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
	var bases bases
	for _, b := range c.Bases {
		if b.Deleted {
			continue
		}
		o, err := parseObject(b.Body)
		if err != nil {
			return Content{}, err
		}
		bases = append(bases, o)
	}
	var out object
	for _, f := range later {
		if keep, ok := bases.merge(f, earlier); ok {
			out = append(out, keep)
		}
	}
	for _, f := range earlier {
		// Added or changed by the earlier side; else the later has taken it out.
		if later.index(f.name) < 0 && !bases.have(f) {
			out = append(out, f)
		}
	}
	return Content{Body: out.encode()}, nil
}

// bases is what two versions were made from.
type bases []object

// have reports whether a field is in one of them as it is.
func (b bases) have(f field) bool {
	return slices.ContainsFunc(b, func(o object) bool {
		was, ok := o.get(f.name)
		return ok && equalJSON([]byte(was.Raw), []byte(f.value.Raw))
	})
}

// merge returns what becomes of a field that the later version has.
func (b bases) merge(later field, earlier object) (field, bool) {
	if !b.have(later) {
		return later, true
	}
	if i := earlier.index(later.name); i >= 0 {
		return earlier[i], true
	}
	return field{}, false // taken out by the earlier side
}
