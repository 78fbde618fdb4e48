"""`berth schema` beside an independent validator: python3-jsonschema.

Usage: schema_test.py BERTH EXAMPLES_FOLDER
"""

import copy
import json
import pathlib
import subprocess
import sys

SKIP = 77

try:
    import jsonschema
    import yaml
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(SKIP)

# What each edit of a good spec makes wrong; the schema must say so too.
BREAKS = [
    ("unknown key", lambda s: s.update(zebra=1)),
    ("no server", lambda s: s.pop("server")),
    ("no image", lambda s: s["server"].pop("image")),
    ("image typo", lambda s: s["server"].update(image="debian-13")),
    ("count 0", lambda s: s["server"].update(count=0)),
    ("count text", lambda s: s["server"].update(count="many")),
    ("size without unit", lambda s: s["server"].update(disk={"size": 30})),
    ("spot by a word", lambda s: s["server"].update(spot="maybe")),
    ("spot price", lambda s: s["server"].update(spot={"max_price": 0})),
    ("spot interruption", lambda s: s["server"].update(spot={"interruption": "hibernate"})),
    ("later disk", lambda s: s["server"].update(disk={"type": "io2"})),
    ("later section", lambda s: s.update(cluster={})),
    ("EC2's fields with a server of one's own", lambda s: s.update(provider="host")),
    ("own server: no host", lambda s: own(s, {"port": 22})),
    ("own server: image", lambda s: own(s, {"host": "box", "image": "debian-12"})),
    ("own server: an option for a host", lambda s: own(s, {"host": "-oX=y"})),
    ("own server: stop", lambda s: own(s, {"host": "box", "stop": {"idle": "1 h"}})),
    ("own server: host key", lambda s: own(s, {"host": "box", "host_key": "AAAA"})),
    ("own server: region", lambda s: own(s, {"host": "box"}, region="us-east-1")),
    ("own server: key_pair", lambda s: own(s, {"host": "box"}, key_pair={"type": "rsa"})),
    ("own server: who may log in", lambda s: own(s, {"host": "box"}, access={"ssh": "my-ip"})),
    ("own server: a block", lambda s: own(s, {"host": "box"}, access={"jupyter": "10.0.0.0/8"})),
    ("own server's host on EC2", lambda s: s["server"].update(host="box")),
    ("other key type", lambda s: s.update(key_pair={"type": "dsa"})),
    ("SSH by a tunnel", lambda s: s.update(access={"ssh": "tunnel"})),
    ("bad name", lambda s: s.update(name="Bad Name")),
    ("low port", lambda s: s.update(jupyter={"port": 80})),
    ("written password", lambda s: s.update(jupyter={"password": "x"})),
    ("file without to", lambda s: s.update(files=[{"from": "a"}])),
    ("twice in a list", lambda s: s.update(packages={"system": ["git", "git"]})),
]


# What an edit makes another good spec of.
GOOD = [
    ("own server", lambda s: own(s, {"host": "me@box", "port": 22, "key": "k", "jump": "a,b:2",
                                     "swap": "2 GiB", "protect": True})),
    ("own server, open", lambda s: own(s, {"host": "box"},
                                       access={"jupyter": ["0.0.0.0/0", "::/0"]})),
]


def own(spec, server, **more):
    spec.clear()
    spec.update(berth=1, name="mine", provider="host", server=server, **more)


def main():
    berth, examples = sys.argv[1], pathlib.Path(sys.argv[2])
    run = subprocess.run([berth, "schema"], check=True, capture_output=True, text=True)
    schema = json.loads(run.stdout)
    validator_class = getattr(jsonschema, "Draft202012Validator", None)
    if validator_class is None:
        print("skipped: this jsonschema is older than draft 2020-12")
        sys.exit(SKIP)
    validator_class.check_schema(schema)
    validator = validator_class(schema)
    bad = 0
    specs = sorted(examples.glob("*.yaml"))
    assert specs, "no examples"
    for path in specs:
        for error in validator.iter_errors(yaml.safe_load(path.read_text())):
            print(f"{path.name}: {list(error.path)}: {error.message}")
            bad += 1
    good = yaml.safe_load(specs[0].read_text())
    for what, edit in BREAKS:
        spec = copy.deepcopy(good)
        edit(spec)
        if validator.is_valid(spec):
            print(f"the schema accepts: {what}")
            bad += 1
    for what, edit in GOOD:
        spec = copy.deepcopy(good)
        edit(spec)
        for error in validator.iter_errors(spec):
            print(f"{what}: {list(error.path)}: {error.message}")
            bad += 1
    print(f"{len(specs)} examples, {len(BREAKS)} broken specs, {bad} wrong")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
