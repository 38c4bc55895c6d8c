// Package credentials keeps the SCRAM credentials of users (RFC 5802, KIP-554): what a broker needs to check a
// password, and not the password. A change is durable when Alter returns.
//
// Only handlers change them. A listener that authenticates with SCRAM reads them.
package credentials

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"once/meta"
)

// Mechanism is a SCRAM mechanism, with its number on the wire.
type Mechanism int8

// The mechanisms.
const (
	SHA256 Mechanism = 1
	SHA512 Mechanism = 2
)

func (m Mechanism) hash() func() hash.Hash {
	if m == SHA512 {
		return sha512.New
	}
	return sha256.New
}

// The iterations that are allowed, for both mechanisms.
const (
	MinIterations = 4096
	MaxIterations = 16384
)

const (
	// maxUsers bounds the users that have credentials: they are held in memory.
	maxUsers = 10_000
	// maxSaltBytes bounds a salt, and what a client says of a password.
	maxSaltBytes = 1024
)

// What a change can be refused for.
var (
	ErrUnacceptable = errors.New("unacceptable credential")
	ErrMechanism    = errors.New("unknown SCRAM mechanism")
	ErrNotFound     = errors.New("the user has no such credential")
	ErrTooMany      = errors.New("too many users have credentials")
)

// Credential is what checks the password of a user with one mechanism.
type Credential struct {
	Iterations int32  `json:"iterations"`
	Salt       []byte `json:"salt"`
	StoredKey  []byte `json:"stored_key"`
	ServerKey  []byte `json:"server_key"`
}

// User are the credentials of a user.
type User map[Mechanism]Credential

// Change sets the credential of a user with one mechanism, or with Delete removes it.
type Change struct {
	User           string
	Mechanism      Mechanism
	Delete         bool
	Iterations     int32
	Salt           []byte
	SaltedPassword []byte // Hi(password, salt, iterations), which the client has computed
}

// Credentials are those of all users. Safe for concurrent use.
type Credentials struct {
	store  meta.Store // immutable
	change sync.Mutex // orders changes; held over the write
	users  atomic.Pointer[map[string]User]
}

// Open reads the credentials. An unreadable record is meta.ErrDamaged.
func Open(store meta.Store) (*Credentials, error) {
	users, err := readStored(store)
	if err != nil {
		return nil, err
	}
	c := &Credentials{store: store}
	c.users.Store(&users)
	return c, nil
}

func readStored(store meta.Store) (map[string]User, error) {
	users := map[string]User{}
	err := store.All(meta.Credentials, func(name string, value []byte) error {
		var u User
		if err := json.Unmarshal(value, &u); err != nil {
			return store.Damaged(meta.Credentials, name, err)
		}
		users[name] = u
		return nil
	})
	return users, err
}

// Check reads the credentials, for a start that is to fail before it changes anything.
func Check(store meta.Store) error {
	_, err := readStored(store)
	return err
}

// Clear removes all credentials.
func Clear(tx meta.Tx) error {
	var names []string
	err := tx.All(meta.Credentials, func(name string, _ []byte) error {
		names = append(names, name)
		return nil
	})
	for _, name := range names {
		if err == nil {
			err = tx.Delete(meta.Credentials, name)
		}
	}
	return err
}

// User returns the credentials of a user, nil for none. The map is not to be changed.
func (c *Credentials) User(name string) User { return (*c.users.Load())[name] }

// Users returns the users that have credentials, sorted.
func (c *Credentials) Users() []string { return slices.Sorted(maps.Keys(*c.users.Load())) }

// Alter carries out one change.
func (c *Credentials) Alter(change Change) error {
	c.change.Lock()
	defer c.change.Unlock()
	users := *c.users.Load()
	if err := change.check(users[change.User]); err != nil {
		return err
	}
	next := maps.Clone(users[change.User])
	if next == nil {
		if len(users) >= maxUsers {
			return fmt.Errorf("%w: %d", ErrTooMany, maxUsers)
		}
		next = User{}
	}
	if change.Delete {
		delete(next, change.Mechanism)
	} else {
		next[change.Mechanism] = change.credential()
	}
	return c.save(change.User, next)
}

// Check returns the error that Alter would return for the values of a change.
func (c *Credentials) Check(change Change) error { return change.check(c.User(change.User)) }

func (c *Change) check(present User) error {
	_, has := present[c.Mechanism]
	switch {
	case c.User == "":
		return fmt.Errorf("%w: the user has no name", ErrUnacceptable)
	case c.Mechanism != SHA256 && c.Mechanism != SHA512:
		return fmt.Errorf("%w: %d", ErrMechanism, c.Mechanism)
	case c.Delete && !has:
		return ErrNotFound
	case c.Delete:
		return nil
	case c.Iterations < MinIterations || c.Iterations > MaxIterations:
		return fmt.Errorf("%w: %d iterations, %d to %d are allowed", ErrUnacceptable, c.Iterations, MinIterations,
			MaxIterations)
	case len(c.SaltedPassword) == 0, len(c.SaltedPassword) > maxSaltBytes, len(c.Salt) > maxSaltBytes:
		return fmt.Errorf("%w: the salted password is empty, or it or the salt is longer than %d bytes", ErrUnacceptable,
			maxSaltBytes)
	}
	return nil
}

// credential derives the keys (RFC 5802, 3).
func (c *Change) credential() Credential {
	keyed := func(text string) []byte {
		mac := hmac.New(c.Mechanism.hash(), c.SaltedPassword)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	h := c.Mechanism.hash()()
	h.Write(keyed("Client Key"))
	return Credential{
		Iterations: c.Iterations, Salt: slices.Clone(c.Salt), StoredKey: h.Sum(nil), ServerKey: keyed("Server Key"),
	}
}

func (c *Credentials) save(name string, next User) error {
	value, err := json.Marshal(next)
	if err != nil {
		return err
	}
	err = c.store.Update(func(tx meta.Tx) error {
		if len(next) == 0 {
			return tx.Delete(meta.Credentials, name)
		}
		return tx.Put(meta.Credentials, name, value)
	})
	if err != nil {
		return fmt.Errorf("saving the credentials of a user: %w", err)
	}
	users := maps.Clone(*c.users.Load())
	if users[name] = next; len(next) == 0 {
		delete(users, name)
	}
	c.users.Store(&users)
	return nil
}
