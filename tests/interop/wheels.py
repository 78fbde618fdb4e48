"""Python packages made for a test, and what makes one an extension of Jupyter."""

import base64
import hashlib
import io
import json
import zipfile


def wheel(folder, name, version, files):
    """A package made of these files ({path in the wheel: text}) into that folder."""
    module, records, data = name.replace("-", "_"), [], io.BytesIO()
    info = f"{module}-{version}.dist-info"
    files = dict(files)
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(data, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
            records.append(f"{path},sha256={digest.decode()},{len(text)}")
        archive.writestr(f"{info}/RECORD", "\n".join(records + [f"{info}/RECORD,,"]) + "\n")
    return folder / f"{module}-{version}-py3-none-any.whl", data.getvalue()


def server_part(name, version, body):
    module = name.replace("-", "_")
    config = {"ServerApp": {"jpserver_extensions": {module: True}}}
    return {f"{module}/__init__.py": body,
            f"{module}-{version}.data/data/etc/jupyter/jupyter_server_config.d/{module}.json":
                json.dumps(config)}


def lab_part(name, version, needs):
    package = {"name": name, "version": version, "dependencies": {"@jupyterlab/application": needs},
               "jupyterlab": {"extension": True, "_build": {"load": "static/r.js",
                                                            "extension": "./extension"}}}
    place = f"{name.replace('-', '_')}-{version}.data/data/share/jupyter/labextensions/{name}"
    return {f"{place}/package.json": json.dumps(package), f"{place}/static/r.js": "",
            f"{place}/install.json": json.dumps({"packageManager": "python", "packageName": name})}
