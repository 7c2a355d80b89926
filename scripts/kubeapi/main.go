// Kubernetes' own API server with its etcd inside, for the tests: one program, one directory.
//
//	kube-apiserver DIRECTORY FLAGS…
//
// The flags are those of kube-apiserver; where its etcd is, is filled in. It ends with its parent's
// SIGTERM, and nothing is left but the directory.
package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

// startEtcd keeps its data in the directory, and listens on a socket there and nowhere else that
// matters: it has no peers, so nobody is told the port that it takes for them.
func startEtcd(directory string) (string, error) {
	client := url.URL{Scheme: "unix", Path: filepath.Join(directory, "etcd.sock")}
	nobody := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	configuration := embed.NewConfig()
	configuration.Dir = filepath.Join(directory, "etcd")
	configuration.LogLevel = "error"
	configuration.UnsafeNoFsync = true
	configuration.ListenClientUrls = []url.URL{client}
	configuration.ListenPeerUrls = []url.URL{nobody}
	configuration.AdvertiseClientUrls = []url.URL{nobody}
	configuration.AdvertisePeerUrls = []url.URL{nobody}
	configuration.InitialCluster = configuration.InitialClusterFromName(configuration.Name)
	etcd, err := embed.StartEtcd(configuration)
	if err != nil {
		return "", err
	}
	select {
	case <-etcd.Server.ReadyNotify():
		return client.String(), nil
	case err = <-etcd.Err():
		return "", err
	}
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "kube-apiserver DIRECTORY FLAGS…")
		os.Exit(2)
	}
	client, err := startEtcd(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "etcd:", err)
		os.Exit(1)
	}
	command := app.NewAPIServerCommand()
	command.SetArgs(append([]string{"--etcd-servers=" + client}, os.Args[2:]...))
	os.Exit(cli.Run(command))
}
