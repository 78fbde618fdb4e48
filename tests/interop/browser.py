"""A real headless Chromium with a home of its own, in which only the given CA is trusted. No
certificate error is ignored. `hosts`: names that it finds at these addresses, as DNS would say."""

import pathlib
import shutil
import subprocess
import tempfile

from selenium import webdriver
from selenium.webdriver.chrome.service import Service


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
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic",
                         "--disable-dev-shm-usage", "--no-first-run", "--disable-sync",
                         "--disable-background-networking", "--disable-component-update",
                         "--no-proxy-server", "--window-size=1280,900",
                         f"--user-data-dir={self.home / 'profile'}"):
            options.add_argument(argument)
        if hosts:
            rules = ", ".join(f"MAP {name} {address}" for name, address in hosts.items())
            options.add_argument(f"--host-resolver-rules={rules}")
        service = Service("/usr/bin/chromedriver", env={"HOME": str(self.home),
                                                        "PATH": "/usr/bin:/bin"})
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.set_page_load_timeout(60)

    def __enter__(self):
        return self.driver

    def __exit__(self, *_):
        self.driver.quit()
        shutil.rmtree(self.home, ignore_errors=True)
