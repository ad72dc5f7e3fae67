r"""Make a Hub repository folder from a finished run: weights, processor, model code and a card.

    python examples/publish.py --run runs/tiger-fg-tiny --folder model_cards/tiger-fg-tiny --name tiger-fg-tiny \\
        --results "Drawn clean=runs/clean.json" "Drawn clutter=runs/clutter.json" ...

`--push_to REPO_ID --visibility private` uploads the files of the checkpoint, and no others that lie in the folder. All
numbers on the card come from the result files.
"""

import argparse
import json
from pathlib import Path

from transformers import AutoModel, AutoProcessor

from tiger_fg_hf.export.remote_code import export_with_code
from tiger_fg_hf.hub.card import check_results, write_card
from tiger_fg_hf.hub.upload import list_published_files, upload_checkpoint


def main(argv: list[str] | None = None) -> None:
    """Write the folder, and upload it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="Output folder of a training run.")
    parser.add_argument("--folder", required=True, help="Folder to write.")
    parser.add_argument("--name", required=True, help="Name of the model on the Hub.")
    parser.add_argument(
        "--results", nargs="+", required=True, metavar="NAME=FILE", help="Benchmark names with their result files."
    )
    parser.add_argument("--description", required=True, help="What the model is.")
    parser.add_argument("--training_data", required=True, help="What it was trained on.")
    parser.add_argument("--hardware", required=True, help="What it was trained with.")
    parser.add_argument("--commands", required=True, help="Commands that reproduce it.")
    parser.add_argument("--push_to", help="Hub repository to upload the checkpoint to; needs --visibility.")
    parser.add_argument("--visibility", choices=("private", "public"), help="Who can see the repository.")
    args = parser.parse_args(argv)
    if args.push_to and args.visibility is None:
        parser.error("--push_to: state --visibility private or --visibility public")

    results = {}
    for entry in args.results:
        name, _, path = entry.partition("=")
        if not path:
            parser.error(f"--results: expected NAME=FILE, found {entry!r}")
        try:
            results[name] = json.loads(Path(path).read_text())
        except json.JSONDecodeError as error:
            parser.error(f"--results: {path} is not JSON: {error}")
    check_results(args.run, results)
    summary = Path(args.run, "train_summary.json")
    if not summary.is_file():
        parser.error(f"--run: {args.run!r} is not the folder of a finished training, it has no {summary.name}")

    export_with_code(AutoModel.from_pretrained(args.run), AutoProcessor.from_pretrained(args.run), args.folder)
    write_card(
        args.folder,
        name=args.name,
        description=args.description,
        summary=json.loads(summary.read_text()),
        results=results,
        training_data=args.training_data,
        hardware=args.hardware,
        commands=args.commands,
    )
    files = list_published_files(args.folder)
    size = sum(Path(args.folder, name).stat().st_size for name in files.published)
    print(f"{args.folder}: {len(files.published)} files, {size / 1e6:.1f} MB")
    if files.left_out:
        print(f"not part of the checkpoint: {', '.join(files.left_out)}")
    if args.push_to:
        print(upload_checkpoint(args.folder, args.push_to, private=args.visibility == "private"))


if __name__ == "__main__":
    main()
