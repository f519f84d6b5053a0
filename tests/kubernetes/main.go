// Command controlplane is a Kubernetes control plane for tests, in one process on 127.0.0.1: etcd, kube-apiserver and,
// if asked for, the controllers that the contract of the API is about.
//
// It takes every flag of kube-apiserver and a few of its own, chooses free ports, and prints one line of JSON when it is
// ready: where the API server and etcd listen. It ends on SIGTERM, on SIGINT, and when its standard input ends, which it
// does when the parent dies however that comes about. server.py starts it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"go.etcd.io/etcd/server/v3/embed"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/client-go/rest"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

const startTime = 90 * time.Second

type places struct {
	URL  string `json:"url"`
	Etcd string `json:"etcd"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()

	server := options.NewServerRunOptions()
	flags := pflag.NewFlagSet("controlplane", pflag.ContinueOnError)
	data := flags.String("etcd-directory", "", "where etcd keeps its data")
	withControllers := flags.Bool("controllers", false, "run controllers as well")
	for _, set := range server.Flags().FlagSets {
		flags.AddFlagSet(set)
	}
	if err := flags.Parse(arguments); err != nil {
		return err
	}

	etcd, err := startEtcd(ctx, *data)
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	defer etcd.Close()
	found := places{Etcd: "http://" + etcd.Clients[0].Addr().String()}

	completed, err := complete(ctx, server, found.Etcd)
	if err != nil {
		return err
	}
	found.URL = "https://" + server.SecureServing.Listener.Addr().String()
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx, completed) }()

	administrator, err := administratorOf(server, found.URL)
	if err == nil {
		err = waitUntilReady(ctx, administrator, ended)
	}
	if err == nil && *withControllers {
		err = startControllers(ctx, administrator)
	}
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		return err
	}
	return <-ended
}

// startEtcd runs an etcd of one member that does not wait for the disk: what it holds is thrown away.
func startEtcd(ctx context.Context, directory string) (*embed.Etcd, error) {
	// Its HTTP gateway dials the address that it was told to listen at, so that must be one with a port.
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	clients := []url.URL{{Scheme: "http", Host: address}}
	peers := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	config := embed.NewConfig()
	config.Dir = directory
	config.ListenClientUrls, config.AdvertiseClientUrls = clients, clients
	config.ListenPeerUrls, config.AdvertisePeerUrls = peers, peers
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	config.UnsafeNoFsync = true
	config.LogLevel = "warn"
	config.LogOutputs = []string{"stderr"}
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return nil, err
	}
	select {
	case <-etcd.Server.ReadyNotify():
		return etcd, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(startTime):
		err = errors.New("not ready in time")
	}
	etcd.Close()
	return nil, err
}

// freeAddress gives an address of 127.0.0.1 that nobody listens at.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

// complete takes what the flags have left open: the address, and etcd.
func complete(ctx context.Context, server *options.ServerRunOptions, etcd string) (options.CompletedOptions, error) {
	nothing := options.CompletedOptions{}
	globals := server.GenericServerRunOptions.ComponentGlobalsRegistry
	if err := globals.Set(); err != nil {
		return nothing, err
	}
	gate := globals.FeatureGateFor("kube")
	if err := logsapi.ValidateAndApply(server.Logs, gate); err != nil {
		return nothing, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nothing, err
	}
	address := listener.Addr().(*net.TCPAddr)
	server.SecureServing.Listener = listener
	server.SecureServing.BindAddress, server.SecureServing.BindPort = address.IP, address.Port
	server.SecureServing.ExternalAddress = address.IP
	server.Etcd.StorageConfig.Transport.ServerList = []string{etcd}
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	completed, err := server.Complete(ctx)
	if err != nil {
		return nothing, err
	}
	return completed, utilerrors.NewAggregate(completed.Validate())
}

// administratorOf is a client with the rights of the first line of the token file.
func administratorOf(server *options.ServerRunOptions, url string) (*rest.Config, error) {
	tokens, err := os.ReadFile(server.Authentication.TokenFile.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("--token-auth-file: %w", err)
	}
	token, _, _ := strings.Cut(string(tokens), ",")
	certificate := server.SecureServing.ServerCert
	return &rest.Config{
		Host:            url,
		BearerToken:     token,
		QPS:             -1,
		TLSClientConfig: rest.TLSClientConfig{CAFile: filepath.Join(certificate.CertDirectory, certificate.PairName+".crt")},
	}, nil
}

func waitUntilReady(ctx context.Context, administrator *rest.Config, ended <-chan error) error {
	client, err := rest.HTTPClientFor(administrator)
	if err != nil {
		return err
	}
	deadline := time.After(startTime)
	for {
		if answer, err := client.Get(administrator.Host + "/readyz"); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case err := <-ended:
			return fmt.Errorf("kube-apiserver ended: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			return errors.New("kube-apiserver is not ready in time")
		case <-time.After(50 * time.Millisecond):
		}
	}
}
