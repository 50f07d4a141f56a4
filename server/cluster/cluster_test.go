package cluster_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shoaldb/shoal/server/cluster"
	"github.com/shoaldb/shoal/server/hub"
	"github.com/shoaldb/shoal/shared/protocol"
)

const (
	shoal = protocol.DialectShoal
	rxdb  = protocol.DialectRxDB
)

// send has a peer send to another until that gets it: a member is known a moment before the way to it is.
func send(t *testing.T, a, b *peer, text string) {
	t.Helper()
	data, _ := json.Marshal(text)
	if err := a.client.Send(t.Context(), a.room, b.name(), data); err != nil {
		t.Fatal(err)
	}
	b.await("a signal", func(p *peer) bool {
		for _, s := range p.signals {
			if s.Peer == a.id && string(s.Data) == string(data) {
				return true
			}
		}
		return false
	})
}

// TestRelayBetweenNodes: what peers without a direct path say to each other goes from node to node.
func TestRelayBetweenNodes(t *testing.T) {
	nats := broker(t, 0).ClientURL()
	one, two := join(t, nats, nil), join(t, nats, nil)
	a, b := enter(t, room, shoal, protocol.Role{}, one.url), enter(t, room, shoal, protocol.Role{}, two.url)
	a.sees(b.entered())
	b.sees(a.entered())
	send(t, a, b, "there")
	if err := a.client.Relay(t.Context(), room, b.name(), []byte("a piece")); err != nil {
		t.Fatal(err)
	}
	b.await("a piece", func(p *peer) bool { return len(p.pieces) == 1 && p.pieces[0] == "a piece" })
}

func TestOneRoomOnTwoNodes(t *testing.T) {
	nats := broker(t, 0).ClientURL()
	one, two := join(t, nats, nil), join(t, nats, nil)
	a, b := enter(t, room, shoal, protocol.Role{}, one.url), enter(t, room, shoal, protocol.Role{}, two.url)
	stranger := enter(t, "another-room", shoal, protocol.Role{}, two.url)
	a.sees(b.entered())
	b.sees(a.entered())
	send(t, a, b, "there")
	send(t, b, a, "and back")
	c := enter(t, room, shoal, protocol.Role{}, two.url)
	a.sees(b.entered(), c.entered())
	c.sees(a.entered(), b.entered())
	stranger.sees()
	if err := stranger.client.Send(t.Context(), room, a.entered(), json.RawMessage(`1`)); err != nil {
		t.Fatal(err)
	}
	stranger.await("a refusal", func(p *peer) bool { return len(p.refused) > 0 && errors.Is(p.refused[0], protocol.ErrNotInRoom) })
	b.leave()
	a.sees(c.entered())
	c.sees(a.entered())
	if st := one.cluster.Stats(); !st.Connected || st.Nodes != 1 || st.Peers != 2 || st.Sent != 1 || st.Received != 1 || st.Lost != 0 {
		t.Errorf("%+v", st)
	}
}

// TestLateNode starts a node when others have long had members, more than are told at once.
func TestLateNode(t *testing.T) {
	nats := broker(t, 0).ClientURL()
	one := join(t, nats, nil)
	const rooms = 1200
	peers := make([]*peer, rooms/60)
	for i := range peers {
		peers[i] = enter(t, room, shoal, protocol.Role{}, one.url)
		for j := range 59 {
			if err := peers[i].client.Join(fmt.Sprintf("room-%d-%d", i, j)); err != nil {
				t.Fatal(err)
			}
		}
	}
	var ids []string
	for _, p := range peers {
		ids = append(ids, p.entered())
	}
	two := join(t, nats, nil)
	late := enter(t, room, shoal, protocol.Role{}, two.url)
	late.sees(ids...)
	inSoon(t, func() string {
		if st := two.cluster.Stats(); st.Peers != rooms || st.Nodes != 1 {
			return fmt.Sprintf("%+v", st)
		}
		return ""
	})
	send(t, late, peers[0], "hello")
}

// inSoon waits until check finds nothing wrong.
func inSoon(t *testing.T, check func() string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		wrong := check()
		if wrong == "" {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal(wrong)
		}
	}
}

// TestChurn has peers come, go and move between three nodes; in the end all know who is where.
func TestChurn(t *testing.T) {
	nats := broker(t, 0).ClientURL()
	nodes := []*node{join(t, nats, nil), join(t, nats, nil), join(t, nats, nil)}
	rng := rand.New(rand.NewPCG(1, 2))
	peers := make([]*peer, 60)
	arrive := func(i int) {
		n := nodes[rng.IntN(len(nodes))]
		dialect := shoal
		if i%10 == 0 {
			dialect = rxdb
		}
		peers[i] = enter(t, fmt.Sprintf("churn-room-%d", rng.IntN(5)), dialect, protocol.Role{}, n.url)
	}
	for i := range peers {
		arrive(i)
	}
	for range 400 {
		i := rng.IntN(len(peers))
		if rng.IntN(4) > 0 { // some go before they are in
			peers[i].entered()
		}
		peers[i].leave()
		arrive(i)
	}
	members := make(map[string][]string)
	for _, p := range peers {
		members[p.room] = append(members[p.room], p.entered())
	}
	for _, p := range peers {
		var others []string
		for _, id := range members[p.room] {
			if id != p.name() {
				others = append(others, id)
			}
		}
		if p.dialect == shoal { // others see their neighbours
			p.sees(others...)
		}
	}
	for _, n := range nodes {
		if st := n.cluster.Stats(); st.Lost > 0 || st.Nodes != 2 {
			t.Errorf("%+v", st)
		}
	}
}

// TestNATSAway goes on within the nodes, and heals.
func TestNATSAway(t *testing.T) {
	nats := broker(t, 0)
	url := nats.ClientURL()
	one, two := join(t, url, nil), join(t, url, nil)
	a, b := enter(t, room, shoal, protocol.Role{}, one.url), enter(t, room, shoal, protocol.Role{}, two.url)
	a.sees(b.entered())
	b.sees(a.entered())
	end(nats)
	c := enter(t, room, shoal, protocol.Role{}, one.url)
	a.sees(c.entered())
	c.sees(a.entered())
	send(t, a, c, "within the node")
	b.sees()
	d := enter(t, room, shoal, protocol.Role{}, two.url)
	b.sees(d.entered())
	if st := one.cluster.Stats(); st.Connected || st.Nodes != 0 || st.Peers != 0 {
		t.Errorf("%+v", st)
	}
	c.leave()
	var port int
	if _, err := fmt.Sscanf(url[strings.LastIndex(url, ":"):], ":%d", &port); err != nil {
		t.Fatal(url, err)
	}
	broker(t, port)
	a.sees(b.entered(), d.entered())
	b.sees(a.entered(), d.entered())
	d.sees(a.entered(), b.entered())
	send(t, d, a, "again")
}

// TestStartWithoutNATS starts nodes before it is there.
func TestStartWithoutNATS(t *testing.T) {
	first := broker(t, 0)
	url := first.ClientURL()
	end(first)
	one, two := join(t, url, nil), join(t, url, nil)
	a := enter(t, room, shoal, protocol.Role{}, one.url)
	a.entered()
	b := enter(t, room, shoal, protocol.Role{}, two.url)
	b.entered()
	var port int
	if _, err := fmt.Sscanf(url[strings.LastIndex(url, ":"):], ":%d", &port); err != nil {
		t.Fatal(err)
	}
	broker(t, port)
	a.sees(b.entered())
	b.sees(a.entered())
}

// TestDeadNode cuts a node off without a word: its peers leave. One that stops says so.
func TestDeadNode(t *testing.T) {
	nats := broker(t, 0).ClientURL()
	one, two, three := join(t, nats, nil), join(t, nats, nil), join(t, nats, nil)
	a, b, c := enter(t, room, shoal, protocol.Role{}, one.url), enter(t, room, shoal, protocol.Role{}, two.url), enter(t, room, shoal, protocol.Role{}, three.url)
	a.sees(b.entered(), c.entered())
	two.cluster.Close()
	a.sees(c.entered())
	c.sees(a.entered())
	b.sees()
	three.cancel()
	<-three.ended
	a.sees()
}

// TestMove has a peer come back by another node while its old connection still stands: it keeps its id, nobody sees it leave, and the
// old connection is ended.
func TestMove(t *testing.T) {
	nats := broker(t, 0).ClientURL()
	one, two := join(t, nats, nil), join(t, nats, nil)
	way := newProxy(t, one)
	a := enter(t, room, shoal, protocol.Role{}, way.url(), two.url)
	b := enter(t, room, shoal, protocol.Role{}, two.url)
	c := enter(t, room, shoal, protocol.Role{}, one.url)
	id := a.entered()
	b.sees(id, c.entered())
	c.sees(id, b.entered())
	a.sees(b.entered(), c.entered())
	hang := one.hub.Stats().Connections
	way.cut()
	a.await("its connection's end", func(p *peer) bool { return !p.in })
	a.await("its room by another node", func(p *peer) bool { return p.in })
	if a.name() != id {
		t.Fatalf("%s became %s", id, a.name())
	}
	inSoon(t, func() string {
		if got := one.hub.Stats().Connections; got >= hang {
			return fmt.Sprintf("%d connections of %d", got, hang)
		}
		return ""
	})
	send(t, c, a, "to where you are now")
	send(t, a, c, "from there")
	send(t, b, a, "here")
	if b.leavings()+c.leavings() > 0 {
		t.Error("somebody saw it leave")
	}
	b.sees(id, c.entered())
}

// TestTreesAreOne checks whom RxDB clients on several nodes are named: a tree, without and with a bridge.
func TestTreesAreOne(t *testing.T) {
	for _, mesh := range []bool{false, true} {
		t.Run(fmt.Sprintf("mesh %t", mesh), func(t *testing.T) {
			nats := broker(t, 0).ClientURL()
			opts := &hub.Options{RxDBMesh: mesh}
			nodes := []*node{join(t, nats, opts), join(t, nats, opts), join(t, nats, opts)}
			var peers []*peer
			for i := range 12 {
				p := enter(t, room, rxdb, protocol.Role{}, nodes[i%3].url)
				p.entered()
				peers = append(peers, p)
			}
			inSoon(t, func() string { return shape(peers, mesh) })
			bridge := enter(t, room, shoal, protocol.Role{RxDB: true}, nodes[1].url)
			peers = append(peers, bridge)
			inSoon(t, func() string { return shape(peers, mesh) })
			served := 3 // the root of each node's tree
			if mesh {
				served = 12
			}
			bridge.await("whom it serves", func(p *peer) bool {
				mine := 0
				for _, o := range p.others {
					if o.Mine {
						mine++
					}
				}
				return len(p.others) == 12 && mine == served
			})
			bridge.leave()
			inSoon(t, func() string { return shape(peers[:12], mesh) })
			peers[0].leave()
			peers[1].leave()
			peers[2].leave()
			inSoon(t, func() string { return shape(peers[3:12], mesh) })
		})
	}
}

// shape says what is wrong with who is named to whom.
func shape(peers []*peer, mesh bool) string {
	index := make(map[string]int)
	for i, p := range peers {
		index[p.name()] = i
	}
	edges := make(map[[2]int]int)
	for i, p := range peers {
		p.mu.Lock()
		for id, o := range p.others {
			j, ok := index[id]
			if !ok {
				p.mu.Unlock()
				return fmt.Sprintf("%s sees %s, who has left", p.id, id)
			}
			if p.dialect == shoal && o.Dialect == rxdb && !o.Mine {
				continue // another Shoal peer is connected with it
			}
			edges[[2]int{min(i, j), max(i, j)}]++
		}
		p.mu.Unlock()
	}
	group := make([]int, len(peers))
	for i := range group {
		group[i] = i
	}
	find := func(i int) int {
		for group[i] != i {
			i = group[i]
		}
		return i
	}
	for e, n := range edges {
		if n != 2 {
			return fmt.Sprintf("%d and %d: named by one alone", e[0], e[1])
		}
		group[find(e[0])] = find(e[1])
	}
	want := len(peers) - 1
	if mesh {
		want = len(peers) * (len(peers) - 1) / 2
	}
	if len(edges) != want {
		return fmt.Sprintf("%d connections among %d, want %d", len(edges), len(peers), want)
	}
	for i := range peers {
		if find(i) != find(0) {
			return fmt.Sprintf("%d and 0 are not connected", i)
		}
	}
	return ""
}

// TestLostMessages plays a node of which messages were lost, and others that make no sense.
func TestLostMessages(t *testing.T) {
	url := broker(t, 0).ClientURL()
	one := joinPatient(t, url, nil, time.Hour)
	a := enter(t, room, shoal, protocol.Role{}, one.url)
	id := a.entered()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	beats, err := nc.SubscribeSync("shoal.presence")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := beats.NextMsg(patience); err != nil { // NATS knows what the node wants to hear when it has heard the node
		t.Fatal(err)
	}
	asked := make(chan *nats.Msg, 100)
	if _, err := nc.ChanSubscribe("shoal.sync.fake", asked); err != nil {
		t.Fatal(err)
	}
	say := func(subject, text string) {
		t.Helper()
		if err := nc.Publish("shoal."+subject, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	answer := func(text string) {
		t.Helper()
		select {
		case m := <-asked:
			if string(m.Data) != one.cluster.Node() {
				t.Fatalf("asked by %s", m.Data)
			}
			say("state."+string(m.Data), text)
		case <-time.After(patience):
			t.Fatal("not asked")
		}
	}
	change := func(peer, more string) string { return `{"room":"` + room + `","peer":"` + peer + `"` + more + `}` }
	say("presence", `{"node":"fake","seq":7}`)
	answer(`{"node":"fake","seq":7,"part":0,"parts":1,"changes":[` + change("aaaaaaaaaaaa", `,"since":1`) + "," + change("bbbbbbbbbbbb", `,"since":1`) + `]}`)
	a.sees("aaaaaaaaaaaa", "bbbbbbbbbbbb")
	say("presence", `{"node":"fake","seq":8,"changes":[`+change("cccccccccccc", `,"since":1`)+`]}`)
	a.sees("aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc")
	for _, junk := range []string{"", "null", "[]", "{", `{"node":5}`, `{"seq":9}`, strings.Repeat("[", 10000), "\xff"} {
		for _, subject := range []string{"presence", "hello", "signal." + one.cluster.Node(), "sync." + one.cluster.Node(), "state." + one.cluster.Node()} {
			say(subject, junk)
		}
	}
	say("presence", `{"node":"fake","seq":9,"changes":[{"room":"x","peer":"y"},{}]}`)                 // nothing that a hub could take
	say("presence", `{"node":"fake","seq":8,"changes":[`+change("aaaaaaaaaaaa", `,"left":true`)+`]}`) // old
	say("presence", `{"node":"fake","seq":11,"changes":[`+change("dddddddddddd", `,"since":1`)+`]}`)  // 10 is missing
	answer(`{"node":"fake","seq":10,"part":0,"parts":1,"changes":[` + change("eeeeeeeeeeee", `,"since":1`) + `]}`)
	a.sees("dddddddddddd", "eeeeeeeeeeee")
	say("presence", `{"node":"fake","seq":13,"changes":[`+change("aaaaaaaaaaaa", `,"since":1`)+`]}`)               // 12 is missing
	answer(`{"node":"fake","seq":12,"part":1,"parts":2,"changes":[` + change("bbbbbbbbbbbb", `,"since":1`) + `]}`) // and a part of the answer
	answer(`{"node":"fake","seq":13,"part":0,"parts":1,"changes":[` + change("aaaaaaaaaaaa", `,"since":1`) + `]}`)
	a.sees("aaaaaaaaaaaa")
	say("presence", `{"node":"fake","seq":14}`) // the last is missing
	answer(`{"node":"fake","seq":14,"part":0,"parts":1,"changes":[]}`)
	a.sees()
	// A signal for somebody who is not here goes nowhere, above all not round and round.
	say("presence", `{"node":"fake","seq":15,"changes":[`+change("ffffffffffff", `,"since":1`)+`]}`)
	a.sees("ffffffffffff")
	say("signal."+one.cluster.Node(), `{"type":"signal","room":"`+room+`","senderPeerId":"xxxxxxxxxxxx","receiverPeerId":"ffffffffffff","data":1}`)
	say("signal."+one.cluster.Node(), `{"type":"signal","room":"`+room+`","senderPeerId":"ffffffffffff","receiverPeerId":"`+id+`","data":2}`)
	a.await("a signal", func(p *peer) bool { return len(p.signals) == 1 && string(p.signals[0].Data) == "2" })
	if st := one.cluster.Stats(); st.Sent != 0 || st.Lost == 0 {
		t.Errorf("%+v", st)
	}
	// What cannot be delivered is told to the node of its sender, and by that to the sender.
	said := make(chan *nats.Msg, 10)
	if _, err := nc.ChanSubscribe("shoal.signal.fake", said); err != nil {
		t.Fatal(err)
	}
	say("presence", `{"node":"fake","seq":15}`) // still there
	a.sees("ffffffffffff")
	say("signal."+one.cluster.Node(), `{"type":"signal","room":"`+room+`","senderPeerId":"ffffffffffff","receiverPeerId":"gggggggggggg","data":3}`)
	expect := func(want string) {
		t.Helper()
		select {
		case m := <-said:
			if string(m.Data) != want {
				t.Errorf("the other node is told %s, want %s", m.Data, want)
			}
		case <-time.After(patience):
			t.Fatalf("the other node is not told %s", want)
		}
	}
	expect(`{"type":"error","room":"` + room + `","senderPeerId":"ffffffffffff","receiverPeerId":"gggggggggggg","code":"unknown_peer"}`)
	if err := a.client.Send(t.Context(), room, "ffffffffffff", json.RawMessage(`4`)); err != nil {
		t.Fatal(err)
	}
	expect(`{"type":"signal","room":"` + room + `","senderPeerId":"` + id + `","receiverPeerId":"ffffffffffff","data":4}`)
	say("signal."+one.cluster.Node(), `{"type":"error","code":"peer_busy","room":"`+room+`","senderPeerId":"`+id+`","receiverPeerId":"ffffffffffff"}`)
	a.await("a refusal", func(p *peer) bool { return len(p.refused) == 1 && errors.Is(p.refused[0], protocol.ErrPeerBusy) })
	say("presence", `{"node":"fake","seq":15,"bye":true}`)
	a.sees()
}

func TestNewRefuses(t *testing.T) {
	for name, opts := range map[string]cluster.Options{
		"name":        {URL: "nats://127.0.0.1:1", Name: "a.b"},
		"URL":         {URL: "nats://127.0.0.1:x"},
		"credentials": {URL: "nats://127.0.0.1:1", Credentials: "nowhere"},
	} {
		if c, err := cluster.New(&opts); err == nil {
			c.Close()
			t.Errorf("%s: no error", name)
		}
	}
}
