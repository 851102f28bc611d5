// A stand-in for go.lumeweb.com/etcd-registry in tests of groups: it registers nodes, configures
// groups and watches, in that module's key space and JSON and with its client library.
//
// The module itself cannot be fetched where the tests run, so that nothing here is a test of the
// module. This program does to etcd what the module does, as its source (LumeWeb/etcd-registry) has it:
//
//   - It creates a group or joins it by one transaction, and merges the group's labels into a node's.
//   - After each half of a node's time to live it takes a new lease, puts the node under it, and keeps
//     the lease alive; the old ones too, as long as the process registers.
//   - When it stops registering, it deletes nothing: its clean-up has the context that was cancelled.
//   - When it closes, it revokes every lease of the cluster, whoever granted it.
//   - It watches by prefix.
//
// In the source that could be read, last_seen stays the time of the beginning. Here each second node
// has the time of writing instead, for that must be no news either. Where the module loses events (it
// sends deletions without a node, and ends with the first error), this one tells more, because it is
// here to say what it saw.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

type node struct {
	ID           string            `json:"id"`
	ExporterType string            `json:"exporter_type"`
	Port         int               `json:"port"`
	MetricsPath  string            `json:"metrics_path"`
	Labels       map[string]string `json:"labels"`
	Status       string            `json:"status"`
	LastSeen     time.Time         `json:"last_seen"`
}

type spec struct {
	Username     string            `json:"username"`
	Password     string            `json:"password"`
	CommonLabels map[string]string `json:"common_labels,omitempty"`
}

type group struct {
	Name    string    `json:"name"`
	Spec    spec      `json:"spec"`
	Created time.Time `json:"created"`
}

type peer struct {
	etcd *clientv3.Client
	base string
}

const usage = `usage: go-peer ENDPOINT BASE COMMAND
  show GROUP                          print the group as this side reads it
  configure GROUP USER PASSWORD K=V...  set the whole of what its nodes share
  nodes GROUP                         print each node as this side reads it
  register GROUP PREFIX COUNT TTL     register nodes until stdin ends, then revoke every lease there is
  watch GROUP                         print what happens to the group's nodes until stdin ends`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "go-peer:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 4 {
		return errors.New(usage)
	}
	etcd, err := clientv3.New(clientv3.Config{
		Endpoints:   []string{args[0]},
		DialTimeout: 30 * time.Second,
		Logger:      zap.NewNop(),
	})
	if err != nil {
		return err
	}
	defer etcd.Close()
	p := peer{etcd: etcd, base: args[1]}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	name, rest := args[3], args[4:]
	switch {
	case args[2] == "show" && len(rest) == 0:
		return p.show(ctx, name)
	case args[2] == "configure" && len(rest) >= 2:
		return p.configure(ctx, name, rest[0], rest[1], rest[2:])
	case args[2] == "nodes" && len(rest) == 0:
		return p.nodes(ctx, name)
	case args[2] == "register" && len(rest) == 3:
		return p.register(ctx, name, rest)
	case args[2] == "watch" && len(rest) == 0:
		return p.watch(ctx, name)
	}
	return errors.New(usage)
}

func (p peer) groupKey(name string) string  { return path.Join(p.base, name) }
func (p peer) nodesPath(name string) string { return path.Join(p.base, name, "nodes") }
func (p peer) nodeKey(name string, n node) string {
	return path.Join(p.nodesPath(name), n.ID+"_"+n.ExporterType)
}

// say prints one value as a line of JSON.
func say(value any) error {
	line, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = fmt.Println(string(line))
	return err
}

func (p peer) read(ctx context.Context, name string) (group, int64, error) {
	answer, err := p.etcd.Get(ctx, p.groupKey(name))
	if err != nil {
		return group{}, 0, err
	}
	if len(answer.Kvs) == 0 {
		return group{}, 0, fmt.Errorf("group %s is not there", name)
	}
	var g group
	err = json.Unmarshal(answer.Kvs[0].Value, &g)
	return g, answer.Kvs[0].ModRevision, err
}

func (p peer) show(ctx context.Context, name string) error {
	g, _, err := p.read(ctx, name)
	if err != nil {
		return err
	}
	return say(g)
}

// createOrJoin makes the group if it is not there; one transaction.
func (p peer) createOrJoin(ctx context.Context, name string) (group, error) {
	value, err := json.Marshal(group{
		Name:    name,
		Created: time.Now(),
		Spec:    spec{CommonLabels: map[string]string{}},
	})
	if err != nil {
		return group{}, err
	}
	key := p.groupKey(name)
	_, err = p.etcd.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
		Then(clientv3.OpPut(key, string(value))).
		Commit()
	if err != nil {
		return group{}, err
	}
	g, _, err := p.read(ctx, name)
	return g, err
}

// configure compares and swaps until it succeeds.
func (p peer) configure(ctx context.Context, name, user, password string, labels []string) error {
	if _, err := p.createOrJoin(ctx, name); err != nil {
		return err
	}
	common := map[string]string{}
	for _, label := range labels {
		key, value, _ := strings.Cut(label, "=")
		common[key] = value
	}
	for {
		g, revision, err := p.read(ctx, name)
		if err != nil {
			return err
		}
		g.Spec = spec{Username: user, Password: password, CommonLabels: common}
		value, err := json.Marshal(g)
		if err != nil {
			return err
		}
		key := p.groupKey(name)
		answer, err := p.etcd.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).
			Then(clientv3.OpPut(key, string(value))).
			Commit()
		if err != nil {
			return err
		}
		if answer.Succeeded {
			return say(g)
		}
	}
}

func (p peer) nodes(ctx context.Context, name string) error {
	answer, err := p.etcd.Get(ctx, p.nodesPath(name), clientv3.WithPrefix())
	if err != nil {
		return err
	}
	for _, kv := range answer.Kvs {
		var n node
		if err := json.Unmarshal(kv.Value, &n); err != nil {
			return fmt.Errorf("%s: %w", kv.Key, err)
		}
		if err := say(n); err != nil {
			return err
		}
	}
	return nil
}

// register keeps nodes until stdin ends.
func (p peer) register(ctx context.Context, name string, args []string) error {
	count, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	ttl, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	g, err := p.createOrJoin(ctx, name)
	if err != nil {
		return err
	}
	registering, cancel := context.WithCancel(ctx)
	defer cancel()
	var keepers sync.WaitGroup
	failures := make(chan error, count)
	all := make([]node, count)
	for i := range all {
		all[i] = member(g, args[0], i)
		if err := p.put(registering, name, all[i], ttl); err != nil {
			return err
		}
		keepers.Add(1)
		go func() {
			defer keepers.Done()
			failures <- p.keep(registering, name, all[i], ttl, i%2 == 1)
		}()
	}
	fmt.Println("registered")
	untilStdinEnds()
	cancel()
	keepers.Wait()
	close(failures)
	for err := range failures {
		if err != nil {
			return err
		}
	}
	for _, n := range all {
		if _, err := p.etcd.Delete(registering, p.nodeKey(name, n)); err == nil {
			return errors.New("a context that was cancelled has deleted a node")
		}
	}
	if err := p.revokeAll(ctx); err != nil {
		return err
	}
	fmt.Println("closed")
	return nil
}

func member(g group, prefix string, number int) node {
	n := node{
		ID:           prefix + strconv.Itoa(number),
		ExporterType: "go_exporter",
		Port:         9100 + number,
		MetricsPath:  "/metrics",
		Labels:       map[string]string{"peer": "go"},
		Status:       "healthy",
		LastSeen:     time.Now(),
	}
	for key, value := range g.Spec.CommonLabels {
		if _, own := n.Labels[key]; !own {
			n.Labels[key] = value
		}
	}
	return n
}

// put writes a node under a lease of its own, and keeps the lease alive until ctx ends.
func (p peer) put(ctx context.Context, name string, n node, ttl time.Duration) error {
	value, err := json.Marshal(n)
	if err != nil {
		return err
	}
	lease, err := p.etcd.Grant(ctx, int64(ttl.Seconds()))
	if err != nil {
		return err
	}
	_, err = p.etcd.Put(ctx, p.nodeKey(name, n), string(value), clientv3.WithLease(lease.ID))
	if err != nil {
		return err
	}
	alive, err := p.etcd.KeepAlive(ctx, lease.ID)
	if err != nil {
		return err
	}
	// The answers want to be read; they end with ctx or with the lease.
	go func() {
		for range alive {
		}
	}()
	return nil
}

// keep writes the node again after each half of its time to live, until ctx ends.
func (p peer) keep(ctx context.Context, name string, n node, ttl time.Duration, sees bool) error {
	again := time.NewTicker(ttl / 2)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
			if sees {
				n.LastSeen = time.Now()
			}
			if err := p.put(ctx, name, n, ttl); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// revokeAll ends every lease of the cluster.
func (p peer) revokeAll(ctx context.Context) error {
	leases, err := p.etcd.Leases(ctx)
	if err != nil {
		return err
	}
	for _, lease := range leases.Leases {
		_, err := p.etcd.Revoke(ctx, lease.ID)
		// It may have ended by itself.
		if err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return err
		}
	}
	return nil
}

type event struct {
	Type      string `json:"type"`
	GroupName string `json:"group_name"`
	Key       string `json:"key"`
	Node      *node  `json:"node,omitempty"`
}

// watch first says that it watches, and then what happens.
func (p peer) watch(ctx context.Context, name string) error {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	news := p.etcd.Watch(watching, p.nodesPath(name), clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	go func() {
		untilStdinEnds()
		stop()
	}()
	for response := range news {
		if response.Created {
			fmt.Println("watching")
		}
		if err := response.Err(); err != nil {
			return err
		}
		for _, change := range response.Events {
			told := event{Type: "delete", GroupName: name, Key: string(change.Kv.Key)}
			if change.Type == clientv3.EventTypePut {
				told.Type = "update"
				if change.IsCreate() {
					told.Type = "create"
				}
				told.Node = &node{}
				if err := json.Unmarshal(change.Kv.Value, told.Node); err != nil {
					return fmt.Errorf("%s: %w", change.Kv.Key, err)
				}
			}
			if err := say(told); err != nil {
				return err
			}
		}
	}
	return nil
}

// untilStdinEnds waits for whoever started this program to end it, or to be gone.
func untilStdinEnds() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
	}
}
