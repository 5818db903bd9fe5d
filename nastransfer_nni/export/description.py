"""What stands beside the weights of an exported network: config.json for timm, README.md, pictures of cells.

timm reads such a folder as `local-dir:FOLDER`, and as `hf-hub:NAME` once it has been pushed to the Hub.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import timm
import torch
from huggingface_hub import EvalResult, ModelCardData

from nastransfer_nni.architecture.drawing import draw_cell
from nastransfer_nni.architecture.file import MODEL_CONFIG
from nastransfer_nni.base.files import replacing, write_text
from nastransfer_nni.base.hub import PREFIX
from nastransfer_nni.data import sources
from nastransfer_nni.models.saved import Trained
from nastransfer_nni.training.recipes import Recipe
from search_spaces import sizes
from search_spaces.errors import UserError

README = "README.md"
TASK = "image-classification"
ALWAYS_SHOWN = ("epochs", "batch_size", "opt", "lr", "weight_decay")
"""Options of the recipe that README.md shows; of the others, those that are not at their defaults."""
DPI = 120
"""Resolution of the pictures of the cells."""


def write(
    folder: Path, network: Trained, model: Any, *, img_size: int, license: str, name: str | None
) -> list[str]:
    """Write config.json, README.md and the pictures; returns the names of the files.

    Args:
        folder: folder of the export, with model.safetensors in it.
        network: the network.
        model: the network, built.
        img_size: height and width in px of its images.
        license: licence of the weights, by its name on the Hub.
        name: repository that the folder is pushed to; None: the folder stays where it is.
    """
    write_config(folder / MODEL_CONFIG, network, model.model_name, img_size)
    genotype = network.architecture.genotype
    pictures = {kind: folder / f"cell_{kind}.png" for kind in genotype.kinds}
    for kind, path in pictures.items():
        with replacing(path) as scratch:
            draw_cell(genotype, kind).savefig(scratch, format="png", dpi=DPI)
    text = readme(network, folder=folder, img_size=img_size, license=license, name=name)
    write_text(folder / README, text)
    return [MODEL_CONFIG, README, *(path.name for path in pictures.values())]


def write_config(path: Path, network: Trained, name: str, img_size: int) -> None:
    """Write config.json by timm's own function; the cells are among the arguments of the model `name`."""
    options, images = network.options, network.input
    architecture = network.architecture
    model = timm.create_model(
        name,
        architecture=architecture.genotype,
        pretrained_cfg_overlay={
            "input_size": (options.get("in_chans", 3), img_size, img_size),
            "pool_size": None,
            **{key: images[key] for key in ("mean", "std", "crop_pct", "interpolation")},
        },
        **options,
    )
    with tempfile.TemporaryDirectory() as scratch_folder, replacing(path) as scratch:
        timm.models.save_for_hf(
            model,
            scratch_folder,
            model_config={"label_names": list(network.classes)} if network.classes else {},
            model_args={"architecture": architecture.to_dict(), **options},
            safe_serialization=True,
        )
        scratch.write_bytes((Path(scratch_folder) / MODEL_CONFIG).read_bytes())


def readme(network: Trained, *, folder: Path, img_size: int, license: str, name: str | None) -> str:
    """The model card as the Hub shows it; the arguments are those of `write`."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("nastransfer_nni.export"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = lambda value: str(value).replace("|", r"\|")  # of a table in Markdown
    result, training, images = network.result, network.training, network.input
    place = f"{PREFIX}{name}" if name else f"local-dir:{folder}"
    title = (name or network.architecture.name).split("/")[-1]
    set_name, evaluated_on = _measured_on(network)
    epoch = "an unknown number of epochs" if result.get("epoch") is None else f"epoch {result['epoch'] + 1}"
    return environment.get_template(f"{README}.j2").render(
        front_matter=_front_matter(network, title=title, license=license, evaluated_on=evaluated_on),
        title=title,
        introduction=(
            f"An image classifier made of the {' and the '.join(network.architecture.genotype.kinds)} cell "
            f"`{network.architecture.name}`" + (f", trained on {set_name}." if set_name else ".")
        ),
        kinds=network.architecture.genotype.kinds,
        top1=result.get("top1"),
        top5=result.get("top5"),
        images=f"{result['images']:,}" if "images" in result else "-",
        evaluated_on=evaluated_on or "not known",
        epoch=epoch,
        is_averaged=result.get("weights") == "model_ema",
        place=place,
        weights=place if name else folder,
        arch=place if name else folder / MODEL_CONFIG,
        input=images | {"img_size": img_size},
        mean=", ".join(f"{value:.4g}" for value in images["mean"]),
        std=", ".join(f"{value:.4g}" for value in images["std"]),
        classes=len(network.classes),
        network=_network(network, img_size),
        found_by=_found_by(network),
        recipe_text=_recipe_text(training),
        recipe=_recipe(training),
        versions=", ".join(f"{package} {number}" for package, number in network.versions.items())
        or "not known",
        license=license,
    )


def _front_matter(network: Trained, *, title: str, license: str, evaluated_on: str) -> str:
    """The metadata by which the Hub lists the network."""
    result = network.result
    source = _source(network)
    results = [
        EvalResult(
            task_type=TASK,
            dataset_type=(source and source.hub) or _plain(str(network.training.get("target", "unknown"))),
            dataset_name=evaluated_on,
            metric_type="accuracy",
            metric_name=label,
            metric_value=round(result[key], 4),
        )
        for key, label in (("top1", "top-1 accuracy in percent"), ("top5", "top-5 accuracy in percent"))
        if evaluated_on and isinstance(result.get(key), int | float)
    ]
    data = ModelCardData(
        license=license,
        library_name="timm",
        pipeline_tag=TASK,
        tags=[TASK, "timm", "nastransfer_nni", "neural-architecture-search"],
        datasets=[source.hub] if source and source.hub else None,
        model_name=title if results else None,
        eval_results=results or None,
    )
    return data.to_yaml().strip()


def _measured_on(network: Trained) -> tuple[str, str]:
    """The set that the network was trained on, and the images of it that it was evaluated on, in words."""
    training, result = network.training, network.result
    target = _plain(str(result.get("target") or training.get("target") or ""))
    if not target or "evaluated_on" not in result:
        return target, ""
    held_out = f", {training['val_share']:.0%} that was held out" if training.get("val_share") else ""
    return target, f"{target} ({result['evaluated_on']}{held_out})"


def _plain(name: str) -> str:
    """The name of a set without the folders of this machine that lead to it."""
    return Path(name).name if Path(name).is_absolute() else name


def _source(network: Trained) -> Any:
    """The set that the network was trained on; None where it is not known, or not on this machine."""
    with contextlib.suppress(UserError):
        return sources.check(str(network.training.get("target", "")))
    return None


def _network(network: Trained, img_size: int) -> dict[str, Any]:
    with torch.device("meta"):
        plain = network.architecture.space.build(
            network.architecture.genotype, is_plain=True, **network.options
        )
    return {
        "search space": f"`{network.architecture.space.text}`",
        **{name.replace("_", " "): value for name, value in network.options.items()},
        "parameters": f"{sizes.parameters(plain):,}",
        f"multiply-adds at {img_size} px": f"{sizes.mult_adds(plain, img_size):,}",
        "genotype": f"`{network.architecture.genotype}`",
    }


def _found_by(network: Trained) -> dict[str, Any]:
    names = ("strategy", "source", "proxy", "seed", "search_score", "source_top1", "search_seconds")
    found_by = network.architecture.found_by
    shown = {name.replace("_", " "): found_by[name] for name in names if found_by.get(name) is not None}
    return shown or {"strategy": "not known"}


def _recipe_text(training: Mapping[str, Any]) -> str:
    protocol = training.get("protocol")
    return f"The protocol `{protocol}` of nastransfer_nni." if protocol else "Trained by timm's train.py."


def _recipe(training: Mapping[str, Any]) -> dict[str, Any]:
    defaults = Recipe(protocol="").model_dump(mode="json", exclude={"protocol", "width", "layers", "stem"})
    return {
        name: training[name]
        for name, default in defaults.items()
        if name in training and (name in ALWAYS_SHOWN or training[name] not in (default, None))
    }
