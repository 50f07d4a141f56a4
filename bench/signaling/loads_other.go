//go:build !linux

package main

import (
	"errors"
	"time"
)

type socket struct{}

func (socket) send([]byte) error { return errors.ErrUnsupported }

type pump struct{}

func newPump([]*peer, [][]byte, int) (*pump, error) { return nil, errors.ErrUnsupported }

func (*pump) run(time.Duration) (int, error) { return 0, errors.ErrUnsupported }

func (*pump) close() {}

func evenly([]*peer, int, time.Duration, func(int, socket) error, func([]byte)) error {
	return errors.ErrUnsupported
}

func dialAll(string, int, int) ([]*peer, time.Duration, error) { return nil, 0, errors.ErrUnsupported }
