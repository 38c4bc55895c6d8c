package lab

import (
	"errors"
	"net/http"
)

// NewCluster is a cluster to be made.
type NewCluster struct {
	Name       string `json:"name"`
	From       string `json:"from"` // a snapshot of the default cluster; "" is empty
	Port       int    `json:"port"` // 0: a free one
	Advertised string `json:"advertised"`
}

// Cluster is a cluster of the process.
type Cluster struct {
	Name      string `json:"name"`
	Bootstrap string `json:"bootstrap"`
	ClusterID string `json:"clusterId"`
}

// The errors of a Process about clusters.
var (
	ErrClusterExists  = errors.New("there is a cluster of this name")
	ErrNoCluster      = errors.New("there is no cluster of this name")
	ErrTooMany        = errors.New("there are as many clusters as clusters.max allows")
	ErrDefaultCluster = errors.New("the default cluster cannot be deleted")
	ErrNoPort         = errors.New("there is no free port")
	ErrInvalidCluster = errors.New("the cluster cannot be")
)

func clusterCalls() []call {
	return []call{
		on(http.MethodGet, "/clusters", "All clusters", func(x *exchange, _ *none) ([]Cluster, error) {
			return x.lab.Process.Clusters(), nil
		}).onProcess(),
		on(http.MethodPost, "/clusters", "Make a cluster of its own, on a port of its own",
			makeCluster).onProcess().withStatus(http.StatusCreated),
		on(http.MethodDelete, "/clusters/{name}", "End a cluster", func(x *exchange, _ *none) (RuleName, error) {
			name := x.request.PathValue("name")
			return RuleName{ID: name}, clusterError(x.lab.Process.RemoveCluster(name))
		}).onProcess(),
	}
}

func makeCluster(x *exchange, c *NewCluster) (Cluster, error) {
	if err := required("name", c.Name); err != nil {
		return Cluster{}, err
	}
	if c.Port < 0 || c.Port > 65535 {
		return Cluster{}, wrong("port", "must be between 0 and 65535")
	}
	made, err := x.lab.Process.AddCluster(x.request.Context(), *c)
	if err != nil {
		return Cluster{}, clusterError(snapshotError(c.From, err))
	}
	return made, nil
}

func clusterError(err error) error {
	for is, status := range map[error]int{
		ErrClusterExists: http.StatusConflict, ErrNoCluster: http.StatusNotFound, ErrTooMany: http.StatusConflict,
		ErrDefaultCluster: http.StatusConflict, ErrNoPort: http.StatusConflict, ErrInvalidCluster: http.StatusBadRequest,
	} {
		if errors.Is(err, is) {
			return fails(status, "%v", err)
		}
	}
	return err
}
