"""Train a small transformer on the digits' rows with the Trainer of Hugging Face, which one callback records.

python train.py                   # by itself, into runs/
lrbench sweep train.yaml          # lrbench.param gives it the learning rate and the seed of each run
"""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed

import lrbench
from lrbench.integrations.transformers import LrbenchCallback

images, labels = load_digits(return_X_y=True)
# Each image is a sentence of its 8 rows, which stand for embedded words.
rows = torch.tensor(images, dtype=torch.float32).reshape(-1, 8, 8) / 16
pairs = [{"inputs_embeds": x, "labels": int(y)} for x, y in zip(rows, labels, strict=True)]
training, validation = train_test_split(pairs, test_size=0.2, random_state=0)

arguments = TrainingArguments(
    "checkpoints",
    learning_rate=lrbench.param("learning_rate", 1e-2),
    lr_scheduler_type=lrbench.param("schedule", "cosine"),
    seed=lrbench.param("seed", 0),
    per_device_train_batch_size=64,
    num_train_epochs=lrbench.param("epochs", 15),
    logging_steps=1,
    eval_strategy="epoch",
    save_strategy="no",
    report_to=[],
)
set_seed(arguments.seed)
sizes = {
    "hidden_size": 8,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "hidden_dropout_prob": 0,
}
model = BertForSequenceClassification(BertConfig(num_labels=10, **sizes))


def measured(given):
    return {"accuracy": float((given.predictions.argmax(-1) == given.label_ids).mean())}


Trainer(
    model,
    arguments,
    train_dataset=training,
    eval_dataset=validation,
    compute_metrics=measured,
    callbacks=[LrbenchCallback()],
).train()
