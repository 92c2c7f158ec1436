"""The card of a dataset on the Hugging Face Hub: a README.md whose front matter makes it findable."""

from __future__ import annotations

from data.lerobot.layout import DEFAULT_FEATURES, element_names
from data.store import Dataset

TAG = "LeRobot"  # by which the Hub lists robot datasets
SHOWN = 20  # tasks that are written out


def card(dataset: Dataset, repo_id: str, license: str) -> str:
    """Front matter and text. A README.md of the dataset keeps its text and the facts that it states; licence and tags are set."""
    from huggingface_hub import DatasetCard

    own = dataset.root / "README.md"
    content = own.read_text(encoding="utf-8") if own.exists() else _text(dataset, repo_id)
    if not content.startswith("---"):
        content = f"---\nlicense: {license}\n---\n\n{content}"
    written = DatasetCard(content, ignore_metadata_errors=True)
    data = written.data
    data["license"] = license
    data["tags"] = list(dict.fromkeys([*(data.get("tags") or []), TAG]))
    data["task_categories"] = data.get("task_categories") or ["robotics"]
    data["configs"] = data.get("configs") or [{"config_name": "default", "data_files": "data/*/*.parquet"}]
    return str(written)


def _text(dataset: Dataset, repo_id: str) -> str:
    minutes = dataset.num_frames / dataset.fps / 60
    tasks = [f"- {_cell(task)}" for task in dataset.tasks[:SHOWN]]
    if len(dataset.tasks) > SHOWN:
        tasks.append(f"- and {len(dataset.tasks) - SHOWN} more")
    rows = [_row(dataset, name) for name in dataset.features if name not in DEFAULT_FEATURES]
    return "\n".join(
        [
            f"# {repo_id.partition('/')[2]}\n",
            f"{dataset.num_episodes} episodes, {dataset.num_frames:,} frames at {dataset.fps:g} Hz ({minutes:.1f} minutes), "
            f"robot: {_cell(dataset.robot_type)}, format: {dataset.format}.\n",
            "## Tasks\n",
            *(tasks or ["(none was given)"]),
            "\n## Features\n",
            "| name | type | shape | elements |",
            "|---|---|---|---|",
            *rows,
            "\n## Use\n",
            "```python",
            "from data.store import Dataset",
            f'dataset = Dataset.open("hf://{repo_id}")',
            "```\n",
            "```python",
            "from lerobot.datasets.lerobot_dataset import LeRobotDataset",
            f'dataset = LeRobotDataset("{repo_id}")',
            "```",
            "",
        ]
    )


def _row(dataset: Dataset, name: str) -> str:
    feature = dataset.features[name]
    words = list(element_names(feature))
    units = dataset.column_units.get(name, ())
    if len(units) == len(words):
        words = [f"{word} [{unit}]" for word, unit in zip(words, units, strict=True)]
    elements = " ".join(words) if name in dataset.column_keys else ""
    return f"| `{name}` | {feature['dtype']} | {' × '.join(map(str, feature['shape']))} | {_cell(elements)} |"


def _cell(text: str) -> str:
    """One line that cannot end a table cell or open a tag."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
