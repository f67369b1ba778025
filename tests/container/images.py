"""The image, built on a minimal Debian root."""
import subprocess
import tempfile
import time

import roots

BASE_PACKAGES = "ca-certificates"
IMAGES = {"final": "op-conductor", "sim": "op-conductor-sim"}


def import_base(engine, work, suite):
    """The root of that suite as an image of the engine. Returns the image's name."""
    name = f"localhost/op-conductor-base:{suite}"
    fresh = roots.make_base(work / suite, suite, BASE_PACKAGES, backports=False)
    if fresh or engine.run("images", "-q", name).strip() == "":
        with tempfile.NamedTemporaryFile(dir=work, suffix=".tar") as tar:
            subprocess.run(["tar", "-C", work / suite, "-cf", tar.name, "."], check=True, timeout=120)
            engine.run("import", tar.name, name, timeout_s=300)
    return name


def build(engine, base, context):
    print(f"== the image, by {engine.name} on {base.rpartition(':')[2]}", flush=True)
    start = time.monotonic()
    for target, name in IMAGES.items():
        engine.run("build", "--build-arg", f"BASE={base}", "--network", "host", "--target", target, *engine.limits, "-t", name,
                   "-f", context / "packaging/container/Dockerfile", context, timeout_s=900)
    own, below = (int(engine.run("image", "inspect", "-f", "{{.Size}}", name).strip()) for name in (IMAGES["final"], base))
    print(f"   built in {time.monotonic() - start:.0f} s; {(own - below) / 1e6:.0f} MB above its base of {below / 1e6:.0f} MB",
          flush=True)
    said = engine.run("run", "--rm", "--network", "none", *engine.limits, IMAGES["final"], "--version").strip()
    assert "version" in said, f"--version says {said!r}"
    print(f"   {said}", flush=True)
