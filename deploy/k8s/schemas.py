#!/usr/bin/env python3
"""JSON schemas for kubeconform out of Kubernetes' own OpenAPI file, for machines
that cannot download ready-made ones. Strict: an unknown field is an error.

    schemas.py swagger.json OUT   (swagger.json lies in the Go module k8s.io/kubernetes,
                                   api/openapi-spec/; `make check-k8s` does it all)
"""

import json
import pathlib
import sys

# Types whose JSON is not what their Go structure suggests.
SPECIAL = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": ["string", "integer"]},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": ["string", "number"]},
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": {"type": "string"},
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": {"type": "string"},
}


def expanded(schema, definitions, path=()):
    """The schema with references written out; a type within itself is left open."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        if name in SPECIAL:
            return SPECIAL[name]
        return {} if name in path else expanded(definitions[name], definitions, (*path, name))
    result = {key: value for key, value in schema.items()
              if key in ("type", "enum", "required", "minimum", "maximum", "pattern")}
    if "properties" in schema:
        result["properties"] = {name: expanded(value, definitions, path)
                                for name, value in schema["properties"].items()}
        result["additionalProperties"] = False
    elif isinstance(schema.get("additionalProperties"), dict):
        result["additionalProperties"] = expanded(schema["additionalProperties"], definitions, path)
    if "items" in schema:
        result["items"] = expanded(schema["items"], definitions, path)
    return result


def main():
    definitions = json.loads(pathlib.Path(sys.argv[1]).read_text())["definitions"]
    out = pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", []):
            schema = expanded(definition, definitions, (name,))
            for key, value in (("kind", kind["kind"]),
                               ("apiVersion", "/".join(filter(None, (kind["group"], kind["version"]))))):
                schema.setdefault("properties", {}).setdefault(key, {})["enum"] = [value]
            schema["required"] = sorted({*schema.get("required", []), "kind", "apiVersion"})
            group = kind["group"].split(".")[0]
            file = "-".join(filter(None, (kind["kind"].lower(), group, kind["version"]))) + ".json"
            (out / file).write_text(json.dumps(schema))


if __name__ == "__main__":
    main()
