//go:build !js

package boltlog

// OpenHooked is Open with a hook that is called at each stage. An error from it ends the operation.
func OpenHooked(dir string, opts *Options, hook func(stage string) error) (*Database, error) {
	return open(dir, opts.withDefaults(), func(s stage) error { return hook(string(s)) })
}

// Flush brings the journal into the bbolt file.
func (db *Database) Flush() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.flush()
}
