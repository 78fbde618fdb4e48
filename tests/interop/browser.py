"""A real headless Chromium with a home of its own, in which only the given CA is trusted. No
certificate error is ignored. `hosts`: names that it finds at these addresses, as DNS would say.

It lives in a network namespace of its own. In this machine's it would see the networks of other
tests come and go, and end what it is loading with ERR_NETWORK_CHANGED; its only way out of there
is a relay (SOCKS 5, RFC 1928), which leaves TLS as it is."""

import ctypes
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import tempfile
import threading

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

CLONE_NEWNET = 0x40000000  # sched.h


def pump(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:  # one side is gone: so is the other
        for s in (source, target):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Relay:
    """Listens in a new network namespace, and connects from this one."""

    def __init__(self, hosts):
        self.hosts = hosts
        self.namespace = self.listener = None
        maker = threading.Thread(target=self.make)
        maker.start()
        maker.join()
        if self.listener is None:
            raise RuntimeError("no network namespace for the browser")
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def make(self):
        """In a thread of its own: unshare(2) moves the calling thread alone."""
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNET) < 0:
            raise OSError(ctypes.get_errno(), "unshare")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        self.namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.connect, args=(client,), daemon=True).start()

    def connect(self, client):
        with client, client.makefile("rb", buffering=0) as said:
            def take(n):
                got = b""
                while len(got) < n:
                    if not (more := said.read(n - len(got))):
                        raise ConnectionError("the browser went away")
                    got += more
                return got
            try:
                take(take(2)[1])
                client.sendall(b"\x05\x00")
                kind = take(4)[3]
                host = (socket.inet_ntoa(take(4)) if kind == 1 else take(take(1)[0]).decode())
                port = struct.unpack("!H", take(2))[0]
                try:
                    server = socket.create_connection((self.hosts.get(host, host), port), 60)
                except OSError:
                    client.sendall(b"\x05\x05\x00\x01" + bytes(6))
                    return
                with server:
                    server.settimeout(None)
                    client.sendall(b"\x05\x00\x00\x01" + bytes(6))
                    back = threading.Thread(target=pump, args=(server, client), daemon=True)
                    back.start()
                    pump(client, server)
                    back.join()
            except OSError:
                return

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        os.close(self.namespace)


class Browser:
    def __init__(self, ca_pem, hosts=None):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="berth-browser-"))
        database = self.home / ".pki" / "nssdb"
        database.mkdir(parents=True)
        certutil = ["certutil", "-d", f"sql:{database}"]
        subprocess.run([*certutil, "-N", "--empty-password"], check=True)
        if ca_pem is not None:
            subprocess.run([*certutil, "-A", "-t", "C,,", "-n", "berth", "-i", str(ca_pem)],
                           check=True)
        self.relay = Relay(hosts or {})
        program = self.home / "chromium"
        program.write_text("#!/bin/sh\nexec nsenter "
                           f"--net=/proc/{os.getpid()}/fd/{self.relay.namespace} "
                           '/usr/bin/chromium "$@"\n')
        program.chmod(0o700)
        options = webdriver.ChromeOptions()
        options.binary_location = str(program)
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic",
                         "--disable-dev-shm-usage", "--no-first-run", "--disable-sync",
                         "--disable-background-networking", "--disable-component-update",
                         "--remote-debugging-pipe", "--window-size=1280,900",
                         f"--proxy-server=socks5://127.0.0.1:{self.relay.port}",
                         "--proxy-bypass-list=<-loopback>",
                         f"--user-data-dir={self.home / 'profile'}"):
            options.add_argument(argument)
        service = Service("/usr/bin/chromedriver", env={"HOME": str(self.home),
                                                        "PATH": "/usr/bin:/bin"})
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.set_page_load_timeout(60)

    def __enter__(self):
        return self.driver

    def __exit__(self, *_):
        self.driver.quit()
        self.relay.close()
        shutil.rmtree(self.home, ignore_errors=True)
