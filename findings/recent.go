package findings

import "container/list"

// recent remembers values by name, and forgets those that were not used for longest when there is no room.
type recent[V any] struct {
	maxBytes  int
	sizeBytes int
	order     list.List // of *named[V], the most recent one first
	byName    map[string]*list.Element
}

type named[V any] struct {
	name      string
	sizeBytes int
	value     V
}

// get returns the value of a name; nil when there is none.
func (r *recent[V]) get(name string) *V {
	e := r.byName[name]
	if e == nil {
		return nil
	}
	r.order.MoveToFront(e)
	return &e.Value.(*named[V]).value
}

// add adds the zero value under a new name, which takes sizeBytes besides the name. It returns nil when the name is
// larger than all of the room.
func (r *recent[V]) add(name string, sizeBytes int) *V {
	sizeBytes += 2 * len(name)
	if sizeBytes > r.maxBytes {
		return nil
	}
	for r.sizeBytes+sizeBytes > r.maxBytes {
		r.remove(r.order.Back())
	}
	if r.byName == nil {
		r.byName = map[string]*list.Element{}
	}
	n := &named[V]{name: name, sizeBytes: sizeBytes}
	r.byName[name] = r.order.PushFront(n)
	r.sizeBytes += sizeBytes
	return &n.value
}

func (r *recent[V]) remove(e *list.Element) {
	n := r.order.Remove(e).(*named[V])
	delete(r.byName, n.name)
	r.sizeBytes -= n.sizeBytes
}

// each calls fn with each name and value.
func (r *recent[V]) each(fn func(name string, value *V)) {
	for e := r.order.Front(); e != nil; e = e.Next() {
		n := e.Value.(*named[V])
		fn(n.name, &n.value)
	}
}
