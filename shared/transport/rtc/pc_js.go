//go:build js

package rtc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall/js"

	"github.com/shoaldb/shoal/shared/transport"
)

// defaultHighWater is for channels whose bufferedAmount does not count what is on its way: those of browsers. Between two pages,
// 64 KB cost up to a third of the throughput, 256 KB and more gained nothing, and each doubling nearly doubled the latency of
// the live lane under load (bench/transport).
const defaultHighWater = 128 << 10

// nativeConfig is what only pion can be told.
type nativeConfig struct{}

func newNativeConfig(opts *Options) (nativeConfig, error) {
	if opts.LoopbackOnly || opts.InterfaceFilter != nil {
		return nativeConfig{}, fmt.Errorf("%w: a browser does not let its pages choose network interfaces", ErrUnsupported)
	}
	return nativeConfig{}, nil
}

// pc does without pion, whose API for browsers starts a goroutine for each callback, so that messages and states could change their
// order, whose waits for promises do not end when the connection is closed meanwhile, and which would make up a fifth of shoal.wasm.
type pc struct {
	rtc       js.Value // RTCPeerConnection
	lanes     [transport.Lanes]js.Value
	scratch   [transport.Lanes]js.Value // Uint8Array that pieces are sent from
	ended     js.Value                  // promise that close resolves
	end       js.Value                  // its resolve function
	text      bool                      // messages are texts
	counts    *counts
	listeners []listener
	once      sync.Once

	sending sync.Mutex // held while a scratch is in use
}

type listener struct {
	target js.Value
	event  string
	f      js.Func
}

func newPC(cfg pcConfig, h pcHandler) (p *pc, err error) {
	defer func() {
		if err != nil && p != nil {
			p.close()
		}
	}()
	defer catch(&err)
	config := map[string]any{"iceServers": iceServers(cfg.servers)}
	if cfg.relayOnly {
		config["iceTransportPolicy"] = "relay"
	}
	p = &pc{rtc: js.Global().Get("RTCPeerConnection").New(config), text: cfg.single, counts: cfg.counts}
	cfg.counts.pcs.Add(1)
	p.ended, p.end = p.newPromise()
	p.openChannels(cfg, h)
	p.on(p.rtc, "icecandidate", func(e js.Value) {
		if c, ok := candidateOf(e.Get("candidate")); ok {
			h.event(pcEvent{kind: eventCandidate, candidate: c})
		}
	})
	p.on(p.rtc, "icecandidateerror", func(e js.Value) {
		h.event(pcEvent{kind: eventGather, err: gatherError(e)})
	})
	p.on(p.rtc, "connectionstatechange", func(js.Value) {
		h.event(pcEvent{kind: eventState, state: p.rtc.Get("connectionState").String()})
	})
	return p, nil
}

func (p *pc) openChannels(cfg pcConfig, h pcHandler) {
	switch {
	case cfg.single && cfg.initiator:
		p.useSingle(p.rtc.Call("createDataChannel", singleLabel), cfg.lowWater, h)
		return
	case cfg.single:
		p.awaitSingle(cfg, h)
		return
	}
	for i := range p.lanes {
		channel := p.rtc.Call("createDataChannel", laneLabels[i], map[string]any{"ordered": true, "negotiated": true, "id": i})
		p.openLane(transport.Lane(i), channel, cfg.lowWater, h)
	}
}

// awaitSingle uses the channel that the peer makes.
func (p *pc) awaitSingle(cfg pcConfig, h pcHandler) {
	p.on(p.rtc, "datachannel", func(e js.Value) {
		channel := e.Get("channel")
		reliable := channel.Get("ordered").Bool() && channel.Get("maxRetransmits").IsNull() && channel.Get("maxPacketLifeTime").IsNull()
		if !p.lanes[transport.Live].IsUndefined() || !reliable {
			h.event(pcEvent{kind: eventFault, err: errChannel})
			return
		}
		p.useSingle(channel, cfg.lowWater, h)
		if channel.Get("readyState").String() == "open" {
			h.event(pcEvent{kind: eventOpen})
		}
	})
}

// useSingle makes channel the only one.
func (p *pc) useSingle(channel js.Value, lowWater int, h pcHandler) {
	p.lanes[transport.Live] = channel
	channel.Set("binaryType", "arraybuffer")
	channel.Set("bufferedAmountLowThreshold", lowWater)
	decoder := js.Global().Get("TextDecoder").New()
	p.on(channel, "bufferedamountlow", func(js.Value) { h.drained(transport.Live) })
	p.on(channel, "open", func(js.Value) { h.event(pcEvent{kind: eventOpen}) })
	p.on(channel, "close", func(js.Value) { h.event(pcEvent{kind: eventClosed}) })
	p.on(channel, "message", func(e js.Value) {
		data := e.Get("data")
		if data.Type() != js.TypeString {
			data = decoder.Call("decode", data) // simple-peer takes both, too
		}
		h.heard(transport.Live, []byte(data.String()))
	})
}

func (p *pc) openLane(lane transport.Lane, channel js.Value, lowWater int, h pcHandler) {
	p.lanes[lane] = channel
	p.scratch[lane] = js.Global().Get("Uint8Array").New(maxPiece)
	channel.Set("binaryType", "arraybuffer")
	channel.Set("bufferedAmountLowThreshold", lowWater)
	p.on(channel, "bufferedamountlow", func(js.Value) { h.drained(lane) })
	p.on(channel, "open", func(js.Value) { h.event(pcEvent{kind: eventOpen, lane: lane}) })
	p.on(channel, "close", func(js.Value) { h.event(pcEvent{kind: eventClosed, lane: lane}) })
	arrayOf := js.Global().Get("Uint8Array")
	p.on(channel, "message", func(e js.Value) {
		data := e.Get("data")
		if data.Type() != js.TypeObject {
			h.event(pcEvent{kind: eventFault, err: errText})
			return
		}
		array := arrayOf.New(data)
		piece := make([]byte, array.Length())
		js.CopyBytesToGo(piece, array)
		h.heard(lane, piece)
	})
}

// on adds a listener that close removes. f must not block.
func (p *pc) on(target js.Value, event string, f func(event js.Value)) {
	fn := p.funcOf(func(args []js.Value) { f(args[0]) })
	target.Call("addEventListener", event, fn)
	p.listeners = append(p.listeners, listener{target, event, fn})
}

func (p *pc) funcOf(f func(args []js.Value)) js.Func {
	p.counts.funcs.Add(1)
	return js.FuncOf(func(_ js.Value, args []js.Value) any {
		f(args)
		return nil
	})
}

func (p *pc) release(f js.Func) {
	f.Release()
	p.counts.funcs.Add(-1)
}

// newPromise returns a promise and the function that resolves it.
func (p *pc) newPromise() (promise, resolve js.Value) {
	executor := p.funcOf(func(args []js.Value) { resolve = args[0] })
	defer p.release(executor)
	return js.Global().Get("Promise").New(executor), resolve
}

// errPCClosed is the error of what waited for a promise when its connection was closed: such promises never settle (W3C WebRTC
// 1.0 section 4.4.1.2 "chain an operation").
var errPCClosed = errors.New("rtc: peer connection closed")

// await waits for promise, until the pc is closed at most.
func (p *pc) await(promise js.Value) (js.Value, error) {
	type outcome struct {
		value js.Value
		err   error
	}
	settled := make(chan outcome, 1)
	// The race settles in any case, and calls exactly one of the two.
	onValue := p.funcOf(func(args []js.Value) {
		if args[0].Equal(p.end) {
			settled <- outcome{err: errPCClosed}
			return
		}
		settled <- outcome{value: args[0]}
	})
	onError := p.funcOf(func(args []js.Value) { settled <- outcome{err: js.Error{Value: args[0]}} })
	js.Global().Get("Promise").Call("race", []any{promise, p.ended}).Call("then", onValue, onError)
	result := <-settled
	p.release(onValue)
	p.release(onError)
	return result.value, result.err
}

func (p *pc) offer(ctx context.Context, restart bool) (sdp string, err error) {
	return p.describe(ctx, "createOffer", map[string]any{"iceRestart": restart})
}

func (p *pc) answer(ctx context.Context, offer string) (sdp string, err error) {
	if err := p.setRemote(ctx, "offer", offer); err != nil {
		return "", err
	}
	return p.describe(ctx, "createAnswer", map[string]any{})
}

func (p *pc) accept(ctx context.Context, answer string) error {
	return p.setRemote(ctx, "answer", answer)
}

// describe makes a description and sets it as the local one.
func (p *pc) describe(ctx context.Context, method string, options map[string]any) (sdp string, err error) {
	defer catch(&err)
	defer p.closeWith(ctx)()
	description, err := p.await(p.rtc.Call(method, options))
	if err != nil {
		return "", fmt.Errorf("%s: %w", method, err)
	}
	if _, err := p.await(p.rtc.Call("setLocalDescription", description)); err != nil {
		return "", fmt.Errorf("setLocalDescription: %w", err)
	}
	return description.Get("sdp").String(), nil
}

func (p *pc) setRemote(ctx context.Context, kind, sdp string) (err error) {
	defer catch(&err)
	defer p.closeWith(ctx)()
	description := map[string]any{"type": kind, "sdp": sdp}
	if _, err := p.await(p.rtc.Call("setRemoteDescription", description)); err != nil {
		return fmt.Errorf("setRemoteDescription: %w", err)
	}
	return nil
}

// closeWith lets await return for good when ctx ends before stop is called.
func (p *pc) closeWith(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { p.end.Invoke(p.end) })
}

func (p *pc) addCandidate(ctx context.Context, c candidate) (err error) {
	defer catch(&err)
	defer p.closeWith(ctx)()
	init := map[string]any{"candidate": c.Candidate, "sdpMid": nil, "sdpMLineIndex": nil}
	if c.SDPMid != nil {
		init["sdpMid"] = *c.SDPMid
	}
	if c.SDPMLineIndex != nil {
		init["sdpMLineIndex"] = int(*c.SDPMLineIndex)
	}
	if c.UsernameFragment != nil {
		init["usernameFragment"] = *c.UsernameFragment
	}
	_, err = p.await(p.rtc.Call("addIceCandidate", init))
	return err
}

// gatherError reads an RTCPeerConnectionIceErrorEvent. Its code is that of a STUN error response, or 701 where there was no answer.
func gatherError(e js.Value) error {
	return fmt.Errorf("%.100s: %d %.100s", e.Get("url").String(), int(number(e.Get("errorCode"))), e.Get("errorText").String())
}

// candidateOf reads an RTCIceCandidate. The last one of a gathering is null, and in some browsers empty.
func candidateOf(v js.Value) (candidate, bool) {
	if !v.Truthy() || v.Get("candidate").String() == "" {
		return candidate{}, false
	}
	c := candidate{Candidate: v.Get("candidate").String()}
	if mid := v.Get("sdpMid"); mid.Type() == js.TypeString {
		text := mid.String()
		c.SDPMid = &text
	}
	if index := v.Get("sdpMLineIndex"); index.Type() == js.TypeNumber {
		number := uint16(index.Int())
		c.SDPMLineIndex = &number
	}
	if fragment := v.Get("usernameFragment"); fragment.Type() == js.TypeString {
		text := fragment.String()
		c.UsernameFragment = &text
	}
	return c, true
}

func (p *pc) descriptions() (local, remote string) {
	if d := p.rtc.Get("currentLocalDescription"); d.Truthy() {
		local = d.Get("sdp").String()
	}
	if d := p.rtc.Get("currentRemoteDescription"); d.Truthy() {
		remote = d.Get("sdp").String()
	}
	return local, remote
}

func (p *pc) send(lane transport.Lane, piece []byte) (err error) {
	defer func() {
		if err != nil && p.lanes[lane].Get("readyState").String() != "open" {
			err = errClosedByPeer // known here before the browser tells
		}
	}()
	defer catch(&err)
	if p.text {
		p.lanes[lane].Call("send", string(piece))
		return nil
	}
	p.sending.Lock()
	defer p.sending.Unlock()
	js.CopyBytesToJS(p.scratch[lane], piece)
	p.lanes[lane].Call("send", p.scratch[lane].Call("subarray", 0, len(piece)))
	return nil
}

func (p *pc) buffered(lane transport.Lane) int { return p.lanes[lane].Get("bufferedAmount").Int() }

func (p *pc) setServers(servers []ICEServer) {
	var err error
	defer catch(&err) // without it the restart uses the servers of before
	cfg := p.rtc.Call("getConfiguration")
	cfg.Set("iceServers", iceServers(servers))
	p.rtc.Call("setConfiguration", cfg)
}

// iceServers returns a list of RTCIceServer.
func iceServers(servers []ICEServer) []any {
	list := make([]any, len(servers))
	for i, server := range servers {
		urls := make([]any, len(server.URLs))
		for j, url := range server.URLs {
			urls[j] = url
		}
		list[i] = map[string]any{"urls": urls, "username": server.Username, "credential": server.Credential}
	}
	return list
}

func (p *pc) close() {
	p.once.Do(func() {
		for _, l := range p.listeners {
			l.target.Call("removeEventListener", l.event, l.f)
			p.release(l.f)
		}
		if p.end.Type() == js.TypeFunction {
			p.end.Invoke(p.end)
		}
		p.rtc.Call("close")
		p.counts.pcs.Add(-1)
	})
}

// catch turns what a JavaScript call threw into an error.
func catch(err *error) {
	switch thrown := recover().(type) {
	case nil:
	case js.Error:
		*err = thrown
	case *js.ValueError:
		*err = thrown
	default:
		panic(thrown)
	}
}
