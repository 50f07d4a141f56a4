package main

// mutation is a rule, and what breaks it.
type mutation struct{ rule, file, old, new string }

const (
	entry     = "shared/document/entry.go"
	clock     = "shared/document/time.go"
	knowledge = "shared/document/knowledge.go"
	accept    = "shared/collection/accept.go"
	identity  = "shared/collection/identity.go"
	tx        = "shared/collection/tx.go"
	bases     = "shared/collection/bases.go"
	session   = "shared/replication/session.go"
	send      = "shared/replication/send.go"
	walk      = "shared/replication/walk.go"
	receive   = "shared/replication/receive.go"
	turns     = "shared/replication/turns.go"
)

var mutations = []mutation{
	// Which version is held.
	{"the order of versions is asked first", entry, "case remote.Compare(local) > 0:", "case true:"},
	{"a greater version is taken only if its writer knew the one held", entry, "if remote.Base == local.Dot || seen.Covers(local.Dot) {", "if true {"},
	{"… which its base can tell", entry, "remote.Base == local.Dot || seen.Covers(local.Dot)", "seen.Covers(local.Dot)"},
	{"… or what its sender had seen", entry, "remote.Base == local.Dot || seen.Covers(local.Dot)", "remote.Base == local.Dot"},
	{"a smaller version is dropped if it was covered", entry, "local.Base == remote.Dot || known.Covers(remote.Dot)", "local.Base == remote.Dot"},
	{"… or is the base of the one held", entry, "local.Base == remote.Dot || known.Covers(remote.Dot)", "known.Covers(remote.Dot)"},
	{"… and else is a conflict", entry, "case local.Base == remote.Dot || known.Covers(remote.Dot):", "default:"},
	{"the same version again is no conflict", entry, "case local.Dot == remote.Dot && local.Time == remote.Time:", "case false:"},
	{"the same dot with another time is another version", entry, "local.Dot == remote.Dot && local.Time == remote.Time", "local.Dot == remote.Dot"},
	{"versions are ordered by time", entry, "if c := cmp.Compare(e.Time, o.Time); c != 0 {", "if c := cmp.Compare(e.Time, o.Time); c > 1 {"},
	// Conflicts.
	{"a conflict never adopts the smaller version under its old dot", accept, "	case r.keepsGreater:\n		return hi\n	}", "	case r.keepsGreater:\n		return hi\n	}\n	if lo, _ := document.Order(local, remote); EqualContent(r.Content, contentOf(lo)) {\n		return lo\n	}"},
	{"merges that follow one another are bounded", accept, "max(local.Merges, remote.Merges) >= document.MaxMerges", "false"},
	{"a merge is greater than both", accept, "hi.Time.Next(a.tx.c.opts.Now(), a.tx.c.salt)", "document.TimeOf(a.tx.c.opts.Now())"},
	{"nothing counts as known while a conflict is open", accept, "	if len(a.open) > 0 {\n		return // what", "	if false {\n		return // what"},
	{"replaced versions are kept while a peer may need them", bases, "		return !a.told.Covers(successor) &&", "		return false &&"},
	// Writes and times.
	{"a write is greater than what it replaces", tx, "e.Time = last.Next(t.now, t.c.salt)", "e.Time = document.Time(0).Next(t.now, t.c.salt)\n	_ = last"},
	{"times are salted", clock, "TimeOf(wall)+Time(salt), last+2+Time(salt%256)", "TimeOf(wall), last+2"},
	{"times from too far ahead are refused", accept, "e.Time.TooFarAhead(now)", "false && e.Time.TooFarAhead(now)"},
	// Knowledge.
	{"a dropped version is known", accept, "	case document.Drop:\n		a.know(e.Dot, e.Time)\n", "	case document.Drop:\n"},
	{"all is claimed only if nothing is held back", send, "	case len(snd.pending) == 0:\n		return protocol.ClaimAll", "	case true:\n		return protocol.ClaimAll"},
	{"own writes are claimed only if none was beaten unseen", send, "	case !snd.ownGap && snd.ownHeld == 0:\n		return protocol.ClaimOwn", "	case true:\n		return protocol.ClaimOwn"},
	{"… and none is held back", send, "!snd.ownGap && snd.ownHeld == 0", "!snd.ownGap"},
	{"… which is noticed", send, "		snd.ownGap = true", "		snd.ownGap = false"},
	{"nothing is claimed before the walk has ended", send, "!snd.on || !snd.walked ||", "!snd.on ||"},
	{"… or live with a push modifier", send, " || snd.s.cfg.Push.Modifier != nil:", ":"},
	{"… or at the end of a walk with one", walk, "	if snd.s.cfg.Push.Modifier == nil {\n		f.Claim = protocol.ClaimAll\n	}", "	f.Claim = protocol.ClaimAll"},
	{"claims count once the walk has ended", receive, "	case !rcv.complete && claim != nil:", "	case false:"},
	{"… and those before it then", receive, "		rcv.early.Merge(claim)\n		return nil", "		return nil"},
	{"with a pull modifier they never count", receive, "s.cfg.Pull != nil && s.cfg.Pull.Modifier == nil {", "s.cfg.Pull != nil {"},
	{"an entry is judged by what was told on its lane", receive, "Beaten: f.Beaten, Seen: rcv.seen[lane]", "Beaten: f.Beaten, Seen: s.send.told"},
	{"a live entry is not replaced by an older one of the walk", receive, "		if rcv.live[e.ID] > store.Position(f.First)+store.Position(e.Offset) {", "		if false {"},
	// Identity.
	{"counters go on after a restart", tx, "counter: c.mem.known.Last(c.mem.self),", "counter: uint64(len(c.mem.docs)),"},
	{"native replicas take a new id for their first write", tx, "	if !t.fresh.IsZero() {", "	if false {"},
	{"an own write that was not made shows a copy", identity, "known.IsForked(m.self) || n > m.known.Last(m.self)", "known.IsForked(m.self)"},
	{"… and so does one of another time", identity, "	return ok && t != 0 && t != own", "	return ok && t != 0 && t != own && false"},
	{"… and that others know the id as forked", identity, "known.IsForked(m.self) || n > m.known.Last(m.self)", "n > m.known.Last(m.self)"},
	{"an id that was given up is forked", identity, "	t.known.Fork(old)\n", ""},
	{"what was written under it gets new dots", identity, "!v.dead && v.Dot.Replica == old {", "false {"},
	{"… and takes the place of the same under the old one", identity, "	renamed.Time++\n", ""},
	{"two times of one write fork its id", knowledge, "a.forked || b.forked || a.last() == b.last() &&", "a.forked || b.forked || false && a.last() == b.last() &&"},
	{"a forked id stays so", knowledge, "	case !old.forkedWith(more):", "	case !more.forked && (old.forked || !old.forkedWith(more)):"},
	{"of a forked id nothing is covered", knowledge, "return n > 0 && !c.forked", "return n > 0"},
	{"a session ends with the identity that it began with", session, "v.Replica() != s.cfg.Own.Replica ||", ""},
	{"… and when another id is forked", session, "|| v.Known().Forks() != s.cfg.Own.Known.Forks()", ""},
	{"what a peer was told of a forked id does not count", send, "s.cfg.Remote.Known.WithForks(s.cfg.Own.Known)", "s.cfg.Remote.Known"},
	// The pace.
	{"a walk ends at the end of the log", walk, "	if !full {\n		snd.end(f, v)\n	}", "	snd.end(f, v)"},
	{"the writes of others are passed on", send, "		if mine || snd.walked {", "		if mine {"},
	{"… after a while", send, "urgent := mine && p.Merges == 0", "urgent := mine || p.Merges == 0"},
	{"… and so are merges", send, "urgent := mine && p.Merges == 0", "urgent := mine"},
	{"… to those who have not got them", send, "	if !snd.swept {\n		snd.sweep(v)", "	if false {\n		snd.sweep(v)"},
	{"one peer at a time is pulled from", turns, "	if t.holder != nil && t.holder != s && now.Before(t.since.Add(StallAfter)) {", "	if false {"},
	{"knowledge is told", send, "	return !now.Before(snd.tell)", "	return false"},
	{"what nobody pulls is not sent", send, "s.cfg.Push != nil && s.cfg.Remote.Pulls,", "true,"},
}
