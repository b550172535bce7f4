"""Fine-tuning with the Trainer of transformers, as its documentation has it: MODEL TRAIN.jsonl BATCH_SIZE DTYPE ORDER.

ORDER: `random`, its default, or `group_by_length`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import transformers


def main(model: str, file: str, batch_size: str, dtype: str, order: str) -> None:
    network = transformers.AutoModelForSequenceClassification.from_pretrained(model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    records = [json.loads(line) for line in Path(file).read_text(encoding="utf-8").splitlines()]
    encoded = tokenizer([record["text"] for record in records], truncation=True)
    numbers = network.config.label2id
    rows = [
        {"input_ids": ids, "attention_mask": mask, "labels": numbers[record["label"]]}
        for record, ids, mask in zip(records, encoded["input_ids"], encoded["attention_mask"], strict=True)
    ]
    with TemporaryDirectory() as scratch:
        settings = transformers.TrainingArguments(
            output_dir=scratch, per_device_train_batch_size=int(batch_size), num_train_epochs=1, learning_rate=1e-4,
            use_cpu=True, bf16=dtype == "bfloat16", report_to=[], save_strategy="no", disable_tqdm=True,
            train_sampling_strategy=order,
        )  # fmt: skip
        collator = transformers.DataCollatorWithPadding(tokenizer)
        transformers.Trainer(network, settings, data_collator=collator, train_dataset=rows).train()


if __name__ == "__main__":
    main(*sys.argv[1:])
