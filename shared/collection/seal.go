package collection

import (
	"context"
	"errors"
	"fmt"

	"github.com/shoaldb/shoal/shared/store"
)

// Seal ends the log for all who have it open, if at is where the next record would stand: if the caller has seen all that there is. Writes fail
// with ErrSealed from then on; reads go on. It reports whether the log is sealed now, or was before.
func (c *Collection) Seal(ctx context.Context, at store.Position) (sealed bool, err error) {
	err = c.do(ctx, 0, func(t *tx) error {
		sealed = t.mem.next == at
		t.state.sealed = t.state.sealed || sealed
		return nil
	})
	switch {
	case errors.Is(err, ErrSealed):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("seal log: %w", err)
	}
	return sealed, nil
}
