package query

// Error says what is wrong with a query or a schema, and where.
type Error struct {
	At      string // as in `selector.age.$gt` or `sort[0]`
	Problem string // what is wrong, and what is allowed
}

// Error implements error.
func (e *Error) Error() string { return "query: " + e.At + ": " + e.Problem }
