"""``python -m deploy.observability``: writes the rules and dashboards from the declarations."""

from __future__ import annotations

from deploy.observability.files import ROOT, generated_files

if __name__ == "__main__":
    for path, text in generated_files().items():
        target = ROOT / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
        print(path)
