//go:build !linux

package main

import (
	"errors"
	"time"
)

type loop struct{}

func newLoop([]*peer, [][]byte, int) (*loop, error) { return nil, errors.ErrUnsupported }

func (*loop) run(time.Duration) (int, error) { return 0, errors.ErrUnsupported }

func (*loop) close() {}
