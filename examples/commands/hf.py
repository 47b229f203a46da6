"""Train a small transformer on the digits' rows with the Trainer of Hugging Face, which one callback records.

python hf.py                      # by itself, into runs/
lrbench sweep hf.yaml             # lrbench.param gives it the learning rate and the seed of each run
"""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed

import lrbench
from lrbench.integrations.transformers import LrbenchCallback

images, labels = load_digits(return_X_y=True)
# Each image is a sentence of its 64 pixels, whose words are the 17 shades.
words = torch.tensor(images, dtype=torch.long)
pairs = [{"input_ids": x, "labels": int(y)} for x, y in zip(words, labels, strict=True)]
training, validation = train_test_split(pairs, test_size=0.2, random_state=0)

arguments = TrainingArguments(
    "checkpoints",
    learning_rate=lrbench.param("learning_rate", 3e-3),
    lr_scheduler_type=lrbench.param("schedule", "cosine"),
    seed=lrbench.param("seed", 0),
    per_device_train_batch_size=64,
    num_train_epochs=6,
    logging_steps=1,
    eval_strategy="epoch",
    save_strategy="no",
    report_to=[],
)
set_seed(arguments.seed)
sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
model = BertForSequenceClassification(BertConfig(vocab_size=17, num_labels=10, max_position_embeddings=64, **sizes))


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
