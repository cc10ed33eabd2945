"""The export of a trained run: its parts are gathered, written in each format, and checked on a scan."""

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from aunet.build.data import build_cohort
from aunet.build.model import load_run
from aunet.build.network import build_network
from aunet.config.draft import load_draft, load_run_config
from aunet.config.schema import InferenceConfig, RunConfig, TargetNode
from aunet.config.trust import NETWORK_ALONE, SOURCE_ALONE
from aunet.data.cohort.split_file import read_splits
from aunet.data.io.volume import Volume
from aunet.errors import UserError
from aunet.export.card import describe_model
from aunet.export.exported_model import ExportedModel, describe_step, describe_windows
from aunet.export.formats import FORMATS, ExportFormat, Label
from aunet.export.parity import Parity, ParityScan, generate_scan, middle_slab
from aunet.files import check_writable, folder_replaced_atomically, write_json, write_text
from aunet.inference.inferers import AutomaticInferer
from aunet.inference.memory import bytes_per_voxel
from aunet.inference.prediction import Postprocessing
from aunet.inference.predictor import Predictor
from aunet.inference.tiles import Tiled
from aunet.reporting.model_card import RunAnswers
from aunet.runs.run_folder import RunFolder

_log = logging.getLogger(__name__)
# Of one pass of an exported network over a whole scan, instead of the tiles of aunet: half of a usual laptop's.
_ONE_PASS_BYTES = 4 * 2**30
# Settings of a run that need aunet, with the values that switch them off.
_IN_AUNET_ALONE: dict[str, object] = {
    "engine": None,
    "skip_air": False,
    "flips": [],
}


@dataclass(frozen=True)
class Exported:
    """One written format: its folder, and its agreement with aunet."""

    format: str
    folder: Path
    parity: Parity


def export_run(
    run: str | Path,
    output: str | Path,
    formats: Sequence[str] | None = None,
    scan: Sequence[str | Path] = (),
    trusted_modules: Sequence[str] = (),
    *,
    is_overwriting: bool = False,
) -> list[Exported]:
    """Write a trained run for other programs: a MONAI bundle, ONNX and safetensors, each in a folder of ``output``.

    Args:
        run: the run's folder.
        output: folder for the formats, which may be new.
        formats: some of bundle, onnx and safetensors; None for all whose packages are installed.
        scan: files of the scan on which the written files are compared with aunet; by default a validation case of the
            run, or a generated volume if its data cannot be read.
        trusted_modules: Python packages of your own that the run's configuration may name.
        is_overwriting: whether folders of ``output`` that exist already are replaced.

    Raises:
        UserError: the run or the scan cannot be used, a format is unknown or not installed, or the network cannot be
            written in it.
    """
    run, output = Path(run), Path(output)
    chosen = _choose_formats(formats)
    _check_output(output, chosen, is_overwriting=is_overwriting)
    model, config = _load_model(run, trusted_modules)
    checked = _parity_scan(run, config, model, scan, trusted_modules)
    with tempfile.TemporaryDirectory() as temporary:
        files = checked.write(Path(temporary))
        expected = model.predictor.predict(files).label
        exporting = _Exporting(RunFolder(run), config, model, checked, files)
        return exporting.write_all(chosen, output, expected)


def _choose_formats(names: Sequence[str] | None) -> list[ExportFormat]:
    if names is not None and (unknown := [name for name in names if name not in FORMATS]):
        raise UserError(f"--formats {unknown[0]}: not a format. Name some of {', '.join(FORMATS)}.")
    chosen: list[ExportFormat] = []
    for name in dict.fromkeys(FORMATS if names is None else names):
        try:
            FORMATS[name].check_installed()
            chosen.append(FORMATS[name])
        except UserError as error:
            if names is not None:
                raise
            _log.info("Left out: %s", error)
    return chosen


def _check_output(output: Path, formats: Sequence[ExportFormat], *, is_overwriting: bool) -> None:
    check_writable(output, f"--output {output}")
    existing = [form.name for form in formats if (output / form.name).exists()]
    if existing and not is_overwriting:
        raise UserError(
            f"{output}: holds {', '.join(existing)} already. Add --overwrite to replace them, or give another --output"
            " folder."
        )


def _load_model(run: Path, trusted_modules: Sequence[str]) -> tuple[ExportedModel, RunConfig]:
    config = load_run_config(run, trusted_modules)
    if config.data.region is not None:
        raise UserError(
            f"{run}: data.region is set, so another run crops its scans first, and exported files hold one network."
            " Use aunet predict, or export a run on whole scans."
        )
    predictor = load_run(run, "cpu", trusted_modules, _IN_AUNET_ALONE)
    predictor.precision = "float32"
    inference, facts = config.inference, config.dataset
    described = [(step, describe_step(step)) for step in predictor.postprocessing]
    predictor.postprocessing = tuple(step for step, settings in described if settings is not None)
    left_out = _left_out(inference, [step for step, settings in described if settings is None])
    for setting in left_out:
        _log.warning("%s: the exported files do not apply it, nor does the prediction they are compared with.", setting)
    model = ExportedModel(
        predictor=predictor,
        name=config.model.name,
        network=config.model.network,
        spatial_dims=facts.spatial_dims,
        in_channels=facts.in_channels,
        windows=describe_windows(predictor.inferer, inference.overlap, _voxels_in_memory(predictor, facts.in_channels)),
        postprocessing=tuple(settings for _, settings in described if settings is not None),
        left_out=left_out,
    )
    return model, config


def _left_out(inference: InferenceConfig, steps: Sequence[Postprocessing]) -> tuple[str, ...]:
    """Return the settings that change aunet's label maps and that exported files cannot hold."""
    flips = [f"inference.flips={inference.flips}"] if inference.flips else []
    air = ["inference.skip_air=true"] if inference.skip_air else []
    return (*air, *flips, *(f"inference.postprocessing: {type(step).__name__}" for step in steps))


def _voxels_in_memory(predictor: Predictor, in_channels: int) -> int:
    """Return how many voxels an exported network may predict at once, for inferers that do so by memory."""
    inferer = predictor.inferer
    if not isinstance(inferer, Tiled | AutomaticInferer):
        return 0
    return int(_ONE_PASS_BYTES / bytes_per_voxel(predictor.network, in_channels, inferer.size_multiple))


def _parity_scan(
    run: Path, config: RunConfig, model: ExportedModel, scan: Sequence[str | Path], trusted_modules: Sequence[str]
) -> ParityScan:
    if scan:
        return ParityScan(model.predictor.read(list(scan)), "the scan of --scan")
    try:
        return ParityScan(middle_slab(_validation_case(run, config, model, trusted_modules)), "a validation case")
    except UserError as error:
        _log.info("The check uses a generated volume, as no validation case can be read (%s)", error)
        return generate_scan(model)


def _validation_case(
    run: Path, config: RunConfig, model: ExportedModel, trusted_modules: Sequence[str]
) -> list[Volume]:
    file = RunFolder(run).splits
    if not file.is_file():
        raise UserError(f"{file}: no such file")
    draft = load_draft(run, trusted_modules, built=(*NETWORK_ALONE, *SOURCE_ALONE))
    cohort = build_cohort(draft.data, trusted_modules)
    splits = read_splits(file, cohort.cases, None, config.data.split.val, config.data.split.seed)
    if not splits.val:
        raise UserError(f"{file}: lists no validation case")
    [case] = [case for case in cohort.cases if case.case_id == splits.val[0]]
    return model.predictor.read(case.images)


@dataclass(frozen=True)
class _Exporting:
    """The writer of one run's formats, all checked on one scan, which lies in ``files``."""

    run: RunFolder
    config: RunConfig
    model: ExportedModel
    scan: ParityScan
    files: Sequence[Path]

    def write_all(self, formats: Sequence[ExportFormat], output: Path, expected: Label) -> list[Exported]:
        """Write the formats; one that fails does not stop the others, and is an error at the end."""
        exported, failed = list[Exported](), list[str]()
        for form in formats:
            try:
                exported.append(self.write(form, output / form.name, expected))
            except UserError as error:
                if len(formats) == 1:
                    raise
                _log.error("%s", error)
                failed.append(form.name)
        if failed:
            others = f"; {', '.join(one.format for one in exported)} written to {output}" if exported else ""
            raise UserError(f"{', '.join(failed)} could not be exported, for the reasons above{others}.")
        return exported

    def write(self, form: ExportFormat, folder: Path, expected: Label) -> Exported:
        """Write and check a format; its folder appears once both are done."""
        with folder_replaced_atomically(folder) as temporary, tempfile.TemporaryDirectory() as work:
            try:
                form.write(temporary, self.model)
            except (OSError, UserError):
                raise
            except Exception as error:  # noqa: BLE001 - whatever an exporter raises
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise UserError(
                    f"--formats {form.name}: model={self.model.name} cannot be written in it ({reason}). Name other"
                    " formats."
                ) from None
            label = form.label(temporary, self.files, self.model, self._build, Path(work))
            parity = self.scan.compare(label, expected)
            self._describe(form, temporary, parity)
        log = _log.info if parity.is_equal else _log.warning
        log("%s: %s", form.name, parity.sentence())
        return Exported(form.name, folder, parity)

    def _describe(self, form: ExportFormat, folder: Path, parity: Parity) -> None:
        write_json(folder / "parity.json", parity.as_facts())
        topics = RunAnswers(self.run).model_card("this folder")
        title = f"{self.model.name}: {', '.join(name for _, name in self.model.predictor.labels.foreground)}"
        write_text(folder / form.card, describe_model(title, topics, form.usage, parity, self.model.left_out))

    def _build(self, network: TargetNode) -> nn.Module:
        return build_network(replace(self.config, model=replace(self.config.model, network=network)))
