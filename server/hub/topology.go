package hub

import (
	"cmp"
	"slices"

	"github.com/shoaldb/shoal/shared/protocol"
)

// maxChildren is how many RxDB clients have another one as their parent, so that none has to pass on the writes of a whole room.
const maxChildren = 3

// topology decides whom the RxDB clients of a room are named, and so connect to; docs/protocol.md, section RxDB's clients, has the
// rules. Together with the bridges, which have connections of their own, the clients are one tree at any time: RxDB's
// replication settles on one, and does not where there are cycles. Clients keep the connections that they have, so nobody whose
// parent stays is moved.
type topology struct {
	mesh    bool // no tree: all are named all
	clients []*place
	bridges []*bridge // in the order in which they came
	root    *place    // the client without a parent; nil where there are bridges, or no clients
	links   []string  // clients of other nodes that the root, or in a mesh everybody, is to connect with; sorted
	moved   []*place  // whose bridge changed since the room last asked
	stale   bool      // there are clients that do not know their neighbours
}

// place is that of an RxDB client.
type place struct {
	id       string
	bridge   *bridge // the parent, if that is one
	parent   *place  // the parent, if that is a client
	children []*place
	stale    bool // the client does not know its neighbours
}

// bridge is a Shoal peer that replicates with RxDB clients.
type bridge struct {
	id       string
	alwaysOn bool
	children []*place
}

// add gives a client a place.
func (t *topology) add(id string) *place {
	p := &place{id: id}
	t.clients = append(t.clients, p)
	t.adopt(p)
	t.touch(p)
	t.touchMesh()
	return p
}

// remove takes a client's place, and gives its children new parents.
func (t *topology) remove(p *place) {
	t.clients = without(t.clients, p)
	switch {
	case p.bridge != nil:
		p.bridge.children = without(p.bridge.children, p)
	case p.parent != nil:
		p.parent.children = without(p.parent.children, p)
		t.touch(p.parent)
	case t.root == p:
		t.root = nil
	}
	for _, orphan := range p.children {
		orphan.parent = nil
		t.adopt(orphan)
	}
	t.touchMesh()
}

// setRole makes a Shoal peer a bridge, or no longer one.
func (t *topology) setRole(id string, role protocol.Role) {
	i := slices.IndexFunc(t.bridges, func(b *bridge) bool { return b.id == id })
	switch {
	case i >= 0 && role.RxDB:
		t.bridges[i].alwaysOn = role.AlwaysOn
	case i >= 0:
		t.removeBridge(i)
	case role.RxDB:
		t.bridges = append(t.bridges, &bridge{id: id, alwaysOn: role.AlwaysOn})
		if root := t.root; root != nil {
			t.root = nil
			t.adopt(root)
		}
		t.touchMesh()
	}
}

// role is that of a Shoal peer.
func (t *topology) role(id string) protocol.Role {
	i := slices.IndexFunc(t.bridges, func(b *bridge) bool { return b.id == id })
	return protocol.Role{RxDB: i >= 0, AlwaysOn: i >= 0 && t.bridges[i].alwaysOn}
}

func (t *topology) removeBridge(i int) {
	orphans := t.bridges[i].children
	t.bridges = slices.Delete(t.bridges, i, i+1)
	for _, p := range orphans {
		p.bridge = nil
		if !t.adopt(p) {
			t.moved = append(t.moved, p)
			t.touch(p)
		}
	}
	t.touchMesh()
}

// adopt gives a client that has none a parent, or makes it the root. It reports whether its bridge has been noted as moved.
func (t *topology) adopt(p *place) bool {
	if t.mesh {
		return false
	}
	t.touch(p)
	if b := t.freest(); b != nil {
		p.bridge = b
		b.children = append(b.children, p)
		t.moved = append(t.moved, p)
		return true
	}
	if t.root == nil {
		t.root = p
		return false
	}
	p.parent = t.nearest()
	p.parent.children = append(p.parent.children, p)
	t.touch(p.parent)
	return false
}

// freest returns the bridge that is to have the next client: one that is always on, has few, and has been there long.
func (t *topology) freest() *bridge {
	if len(t.bridges) == 0 {
		return nil
	}
	return slices.MinFunc(t.bridges, func(a, b *bridge) int {
		if a.alwaysOn != b.alwaysOn {
			if a.alwaysOn {
				return -1
			}
			return 1
		}
		return cmp.Compare(len(a.children), len(b.children))
	})
}

// nearest returns the client nearest to the root that can have one more child. Every tree has one: those without children.
func (t *topology) nearest() *place {
	level := []*place{t.root}
	for {
		var next []*place
		for _, p := range level {
			if len(p.children) < maxChildren {
				return p
			}
			next = append(next, p.children...)
		}
		level = next
	}
}

// setLinks takes the clients of other nodes that this node's are to be connected with.
func (t *topology) setLinks(links []string) {
	slices.Sort(links)
	if slices.Equal(links, t.links) {
		return
	}
	t.links = links
	if t.root != nil {
		t.touch(t.root)
	}
	t.touchMesh()
}

// touch notes that a client has other neighbours than it knows.
func (t *topology) touch(p *place) { p.stale, t.stale = true, true }

func (t *topology) touchMesh() {
	if t.mesh {
		for _, p := range t.clients {
			t.touch(p)
		}
	}
}

// list returns the ids that a client is named, its own among them, as RxDB's server has it.
func (t *topology) list(p *place) []string {
	var ids []string
	if t.mesh {
		for _, c := range t.clients {
			ids = append(ids, c.id)
		}
		for _, b := range t.bridges {
			ids = append(ids, b.id)
		}
		ids = append(ids, t.links...)
		slices.Sort(ids)
		return ids
	}
	ids = append(ids, p.id)
	if p.bridge != nil {
		ids = append(ids, p.bridge.id)
	}
	if p.parent != nil {
		ids = append(ids, p.parent.id)
	}
	if p == t.root {
		ids = append(ids, t.links...)
	}
	for _, c := range p.children {
		ids = append(ids, c.id)
	}
	slices.Sort(ids)
	return ids
}

// info is what Shoal peers are told of a client.
func (t *topology) info(p *place) protocol.PeerInfo {
	i := protocol.PeerInfo{ID: p.id, Dialect: protocol.DialectRxDB}
	switch {
	case t.mesh:
		i.ServedBy = protocol.ServedByAll
	case p.bridge != nil:
		i.ServedBy = p.bridge.id
	}
	return i
}

// takeMoved returns the clients whose bridge changed since the last time.
func (t *topology) takeMoved() []*place {
	moved := t.moved
	t.moved = nil
	return moved
}

func without(places []*place, p *place) []*place {
	return slices.DeleteFunc(places, func(o *place) bool { return o == p })
}
