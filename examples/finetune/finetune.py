"""Sentences of random words that are positive if they begin with a word of the first half."""

import torch
from torch.utils.data import Dataset


class Sentences(Dataset):
    def __init__(self, examples: int, seed: int) -> None:
        self.ids = torch.randint(0, 100, (examples, 12), generator=torch.Generator().manual_seed(seed))

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        ids = self.ids[index]
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": int(ids[0] < 50)}


def sentences():
    return Sentences(400, seed=0), Sentences(100, seed=1)


def lora(path: str, rank: int = 4):
    """The same model with low-rank adapters (LoRA); needs peft."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=2)
    return get_peft_model(model, LoraConfig(task_type="SEQ_CLS", r=rank, target_modules=["query", "value"]))


if __name__ == "__main__":
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=100, max_position_embeddings=32, **sizes)
    BertForSequenceClassification(config).save_pretrained("weights")
