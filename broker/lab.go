package broker

import (
	"net"

	"once/admin"
	"once/cluster"
	"once/lab"
)

// serveAdmin starts the HTTP endpoint.
func (b *Broker) serveAdmin(o admin.Options) error {
	s := b.cfg.Settings
	o.Lab = lab.New(lab.Options{Process: process{b}, ReadOnly: !s.Lab, Logger: b.cfg.Logger}).Handler()
	o.Page = lab.Inspector()
	o.Hosts, o.Token, o.Refuse = s.LabHosts, string(s.LabToken), lab.WriteProblem
	var err error
	if b.admin, err = admin.Start(b.cfg.Admin, o); err != nil {
		return addressError("the admin endpoint on "+b.cfg.Admin, b.cfg.Admin, err)
	}
	if host, _, err := net.SplitHostPort(b.admin.Addr()); err == nil && s.Lab && s.LabToken == "" {
		if ip := net.ParseIP(host); ip != nil && !ip.IsLoopback() {
			b.cfg.Logger.Warn("the lab is on: whoever reaches this address can change everything; lab.token "+
				"asks for a token, lab=false switches it off",
				"address", b.admin.Addr())
		}
	}
	return nil
}

// process is what the lab sees of the broker.
type process struct{ b *Broker }

func (p process) ClusterNamed(name string) (*cluster.Cluster, bool) {
	if name == lab.DefaultCluster {
		return p.b.cluster, true
	}
	if x := p.b.extra(name); x != nil {
		return x.cluster, true
	}
	return nil, false
}

func (p process) SetAdvertised(of, address string) error {
	if of == lab.DefaultCluster {
		return p.b.SetAdvertised(address)
	}
	x := p.b.extra(of)
	if x == nil {
		return lab.ErrNoCluster
	}
	return x.outside.set(address)
}

// disconnectAll closes the connections of all clients while a cluster is restarted.
func (b *Broker) disconnectAll() {
	if b.server != nil {
		b.server.DisconnectIf(b.isDefault)
	}
}
