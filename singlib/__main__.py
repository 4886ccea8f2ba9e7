"""The command line: ``singlib data`` fetches notes, ``run`` trains a grid, ``play`` plays, ``report`` draws."""

import os
import sys
from pathlib import Path
from typing import Annotated

try:
    import typer
except ImportError as error:
    needs = "the losses alone are installed; the commands need more: pip install '.[all]' in a clone"
    raise SystemExit(f"singlib: {needs}") from error

from . import __version__
from .grid import PROFILES  # each command imports the rest itself, so that help and completion are quick


class _Commands(typer.core.TyperGroup):
    def invoke(self, context: typer.Context) -> object:
        """Run a command; exit with its error as one sentence."""
        from .runs.notebooks import NotebookError

        try:
            return super().invoke(context)
        except BrokenPipeError:  # of a reader such as head; click ends without a word
            raise
        except (OSError, ValueError, NotebookError) as error:
            of_file = isinstance(error, OSError) and error.filename and error.strerror
            message = f"{error.filename}: {error.strerror}" if of_file else error
            raise SystemExit(f"singlib {context.invoked_subcommand}: {message}") from error
        except ModuleNotFoundError as error:
            if str(error.name).split(".")[0] == "singlib":
                raise
            needs = f"needs {error.name}, which is not installed: pip install '.[all]' in a clone"
            raise SystemExit(f"singlib {context.invoked_subcommand}: {needs}") from error
        except KeyboardInterrupt:
            kept = "interrupted; run it again to go on"
            print(f"\nsinglib {context.invoked_subcommand}: {kept}", file=sys.stderr, flush=True)
            os._exit(130)  # threads that draw, or wait for a kernel, would go on for half a minute


app = typer.Typer(cls=_Commands, no_args_is_help=True, pretty_exceptions_enable=False)
Device = Annotated[str, typer.Option(help="auto (CUDA where there is one), cpu or cuda")]
ProfileName = Annotated[str, typer.Option(help=", ".join(PROFILES))]


def _version(asked: bool) -> None:
    if asked:
        print(f"singlib {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print it")] = False,
) -> None:
    """Modifications to SING: the paper's grid of models, its figures and its tables."""


@app.command()
def data(
    split: Annotated[str, typer.Option(help="train (the paper's instruments), valid or test")] = "train",
    source: Annotated[str | None, typer.Option(help="path or URL of the archive; NSynth's own by default")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only print what would be read and kept")] = False,
) -> None:
    """Fetch the notes of the eight instruments of an NSynth split into data/."""
    from .nsynth import download

    if dry_run:
        print(download.plan(split, source))
        return
    from .report import tables

    print(tables.instruments(download.download(split, source).name).to_markdown())


@app.command()
def run(
    profile: ProfileName = "quick",
    cells: Annotated[str, typer.Option(help="only cells whose name matches, such as keys-*-CQT-*")] = "*",
    workers: Annotated[int | None, typer.Option(min=1, help="cells at a time on this machine")] = None,
    scheduler: Annotated[str | None, typer.Option(help="address of a Dask scheduler, tcp://host:8786")] = None,
    retries: Annotated[int, typer.Option(min=0, help="of a cell whose kernel dies or lacks memory")] = 1,
    device: Device = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only print what would run, and for how long")] = False,
) -> None:
    """Train every unfinished cell of a profile, each in an executed notebook under runs/."""
    from .grid import profile_named
    from .runs import cluster
    from .runs.status import plan

    size = profile_named(profile)
    if dry_run:
        names = [cell.name for cell in cluster.select(size, cells)]
        print(plan(size, names, workers or cluster.default_workers(size, device)))
        return
    failed = cluster.run_grid(size, cells, workers, scheduler, retries, device)
    if failed:
        raise ValueError(f"{len(failed)} cells failed; the notebooks named above show why")


@app.command()
def status(profile: ProfileName = "quick") -> None:
    """Show the progress of a profile: Table 1 with what is done, running, failed, stale or missing."""
    from .grid import profile_named
    from .runs.status import summary

    print(summary(profile_named(profile)))


@app.command()
def models() -> None:
    """List the models at hand: instruments, grade, share of their notes in tune, and size."""
    from .runs.model_cards import at_hand

    print(at_hand().to_string(index=False))


def _say_which(model: str) -> None:
    """Print which of several models of the same cell a name is taken for."""
    from .network.generation import same_cell

    first, *others = same_cell(model) or [""]
    if others:
        print(f"{model} is taken for {first}; others are {', '.join(others)}", file=sys.stderr)


@app.command()
def generate(
    out: Annotated[Path, typer.Option(help="folder for the notes: keys-060-100.wav")],
    model: Annotated[
        str,
        typer.Option(
            "--model", "--run", "--recorded", help="a name from `singlib models`, or a path to a model or a run"
        ),
    ],
    instrument: Annotated[str | None, typer.Option(help="keys, mallet, voice, brass1 ... brass5")] = None,
    pitch: Annotated[str | None, typer.Option(help="60,64 or C4,F#4 or c',fis'; by default a trained one")] = None,
    velocity: Annotated[str | None, typer.Option(help="25, 50, 75, 100, 127, or several; by default about 100")] = None,
    notes: Annotated[Path | None, typer.Option(help="instead: a file with a note such as keys-060-100 a line")] = None,
    suffix: Annotated[str, typer.Option("--format", help="wav or flac")] = "wav",
    outside: Annotated[bool, typer.Option("--outside", help="allow pitches it was never trained on")] = False,
    device: Device = "auto",
) -> None:
    """Write notes that a trained model plays; the data set is not needed."""
    from .files import check_writable
    from .grid import check_choice
    from .network import generation

    check_choice("format", suffix, generation.FORMATS)
    check_writable(out)
    _say_which(model)
    playing = generation.load_model(model, device)
    if notes is None:
        role = instrument or playing.roles[0]
        check_choice("instrument", role, playing.roles)
        middle = min(playing.notes[role], key=lambda note: (abs(note[0] - 60), abs(note[1] - 100), note))
        pitch = str(middle[0]) if pitch is None else pitch
        labels = generation.labels_of(role, pitch, "100" if velocity is None else velocity)
        if velocity is None:
            labels = [playing.nearest_trained(label) for label in labels]
    else:
        if instrument or pitch or velocity:
            raise ValueError(f"{notes} names the notes: leave out --instrument, --pitch and --velocity")
        labels = generation.read_labels(notes, lambda label: playing.check(label, outside))
    replaced = sum((out / f"{label}.{suffix}").exists() for label in labels)
    files = generation.write_notes(out, labels, playing.generate(labels, outside), suffix)
    elsewhere = [str(label) for label in labels if playing.trained(label) == "pitch"]
    if elsewhere:
        print(f"trained only at other velocities: {', '.join(elsewhere)}", file=sys.stderr)
    over = f", {replaced} in place of older files" if replaced else ""
    print(f"wrote {f'{len(files)} notes' if len(files) > 1 else files[0].name} to {out}{over}")


@app.command()
def play(
    song: Annotated[Path, typer.Argument(help="a Standard MIDI File")],
    model: Annotated[list[str], typer.Option(help="[CHANNEL=]MODEL[:INSTRUMENT], once for each channel or for all")],
    out: Annotated[Path, typer.Option(help="the sound: song.wav or song.flac")],
    outside: Annotated[
        str, typer.Option(help="pitches outside: octaves, by which they are moved, or leave-out")
    ] = "octaves",
) -> None:
    """Play a MIDI file, a model on each channel."""
    from .export import song as songs
    from .files import check_writable, replacing
    from .grid import check_choice
    from .network import generation
    from .nsynth.audio import encode

    suffix = out.suffix.removeprefix(".").lower()
    if suffix not in generation.FORMATS:
        raise ValueError(f"--out {out}: a song is written as {' or '.join(f'.{name}' for name in generation.FORMATS)}")
    check_choice("way with pitches outside", outside, songs.OUTSIDE)
    check_writable(out.parent)
    notes = songs.read_song(song)
    parts = songs.cast(model, sorted({note.channel for note in notes}))
    names = dict.fromkeys(name for name, _ in parts.values())
    for name in names:
        _say_which(name)
    loaded = {name: generation.load_model(name) for name in names}
    voices = {
        channel: songs.Voice(loaded[name], role or loaded[name].roles[0]) for channel, (name, role) in parts.items()
    }
    for channel, voice in sorted(voices.items()):
        check_choice("instrument", voice.role, voice.model.roles)
        print(f"channel {channel}: {voice.role} of {parts[channel][0]}")
    sound, remarks = songs.play(notes, voices, outside)
    with replacing(out) as beside:
        beside.write_bytes(encode(sound, suffix))
    print("".join(f"{remark}\n" for remark in remarks), end="", file=sys.stderr)
    print(f"wrote {len(sound) / 16_000:.1f} s to {out}")


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="a name from `singlib models`, or a path to a model")],
    out: Annotated[Path, typer.Option(help="folder to write")],
    kind: Annotated[
        str, typer.Option("--format", help="sfz, for samplers (SF2: by Polyphone); folder, its notes alone; or onnx")
    ] = "sfz",
    rate: Annotated[int, typer.Option(help="of the notes: 16000, 44100 or 48000 Hz")] = 16_000,
    audio: Annotated[str, typer.Option(help="of the notes: flac or wav")] = "flac",
) -> None:
    """Write a model for other programs: an instrument for samplers, its notes, or a network for ONNX."""
    from .grid import check_choice
    from .network.generation import find

    if kind == "sf2":
        raise ValueError("export it as sfz, and Polyphone makes SF2 of that: singlib/export/README.md has the line")
    check_choice("format", kind, ("sfz", "folder", "onnx"))
    _say_which(model)
    weights = find(model)
    if kind == "onnx":
        if (rate, audio) != (16_000, "flac"):
            raise ValueError("an ONNX file holds no notes: leave out --rate and --audio")
        from .export.onnx_file import write_onnx

        files = [write_onnx(weights, out)]
    else:
        from .export.sfz import write_sfz

        files = write_sfz(weights, out, rate, audio, instruments=kind == "sfz")
    print(f"wrote {', '.join(map(str, files))}")


@app.command()
def publish(
    model: Annotated[str, typer.Argument(help="a name from `singlib models`, or a path to a model")],
    repo: Annotated[str, typer.Option(help="the repository that it is for, such as me/brass")],
    out: Annotated[Path | None, typer.Option(help="folder to write; by default named as the repository")] = None,
) -> None:
    """Write a model as a folder for a model hub, with card and sounds; nothing is uploaded."""
    from .export.hub import write_hub_folder
    from .network.generation import find

    folder = out or Path(repo.rpartition("/")[2])
    _say_which(model)
    write_hub_folder(find(model), repo, folder)
    print(f"wrote {folder}; to upload it: hf upload {repo} {folder} .")


@app.command()
def report(
    profile: ProfileName = "quick",
    only: Annotated[str | None, typer.Option(help="only these parts: fig07,table3,claims,play")] = None,
    stale: Annotated[bool, typer.Option("--if-stale", help="only if its records have changed since")] = False,
) -> None:
    """Rebuild Figures 1-22, Tables 1-3, the report and the page to play of a profile into figures/."""
    from .grid import profile_named
    from .report import page
    from .runs import records

    if only:
        page.save_parts(only.split(","), records.load(profile))
        print(f"wrote {only} to figures/{profile}/")
    elif stale and page.is_fresh(profile_named(profile)):
        print(f"as its records are: {page.page_of(profile_named(profile))}")
    else:
        if sys.stderr.isatty():  # as progress bars do
            print(f"drawing the figures and tables of {profile}: a minute or two", file=sys.stderr, flush=True)
            if nothing := records.load(profile).nothing():
                print(nothing, file=sys.stderr, flush=True)
        print(f"wrote {page.report(profile_named(profile))}")


@app.command()
def carry(
    profile: ProfileName = "recorded",
    models: Annotated[str, typer.Option(help="cells whose weights to include, separated by commas")] = "",
) -> None:
    """Copy the finished runs of a profile into data/<profile>/, to come with the project."""
    from .grid import cells, profile_named
    from .report.open_question import notes_played
    from .runs import carried, run_folder

    size = profile_named(profile)
    damaged = [cell.name for cell in cells(size) if run_folder.Run(cell, size).state() == "damaged"]
    names = carried.carry(size, notes_played(size), [name for name in models.split(",") if name])
    if damaged:
        print(f"left out, since their runs are damaged: {', '.join(damaged)}", file=sys.stderr)
    print(f"data/{profile}/ holds the records of {len(names)} cells")


@app.command()
def again(
    folder: Annotated[Path, typer.Argument(help="a folder with cell.json: data/recorded/cells/<cell>, or a run")],
    epochs: Annotated[int, typer.Option(min=1, help="how many epochs of the autoencoder")] = 3,
) -> None:
    """Train the first epochs of a recorded cell again and compare them with its record."""
    from .runs.again import CLOSE, train_again

    compared = train_again(folder, epochs)
    apart = compared[compared.difference > compared.allowed]
    if len(apart):
        first = apart.iloc[0]
        where = f"{first.spectrum} in epoch {first.epoch} is {first.difference:.1e} apart"
        raise ValueError(f"{where}, more than rounding explains ({first.allowed:.1e} at the most)")
    rounding = ", no more than another processor's rounding explains" if compared.allowed.max() > CLOSE else ""
    print(f"the same to {compared.difference.max():.1e}{rounding}")


if __name__ == "__main__":
    app()
