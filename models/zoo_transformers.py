"""Small configurations of the architectures in transformers: a few layers, random weights, example inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

_VOCABULARY, _WIDTH, _LENGTH, _BATCH = 101, 32, 7, 2
_WEIGHTS = {"initializer_range": 0.2, "init_std": 0.2}
"""Standard deviation of the weights: at these widths the usual 0.02 would leave little but the residual paths."""
Made = tuple[nn.Module, dict[str, torch.Tensor]]

_BASE = {"vocab_size": _VOCABULARY, "hidden_size": _WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4}
_ENCODER = {**_BASE, "intermediate_size": 48, "max_position_embeddings": 64}
_DECODER = {**_ENCODER, "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0}
_GPT = {"vocab_size": _VOCABULARY, "n_embd": _WIDTH, "n_layer": 2, "n_head": 4, "n_positions": 64}
_SEQ2SEQ = {
    "vocab_size": _VOCABULARY, "d_model": _WIDTH, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48, "encoder_attention_heads": 4, "decoder_attention_heads": 4, "max_position_embeddings": 64,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2,
}  # fmt: skip
_T5 = {"vocab_size": _VOCABULARY, "d_model": _WIDTH, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
_IMAGES = {
    "hidden_size": _WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "image_size": 32, "patch_size": 8,
}  # fmt: skip
_STAGES = {"depths": [1, 2], "num_heads": [2, 4], "embed_dim": 16, "window_size": 4, "image_size": 32, "patch_size": 2}
_SOUND = {
    "hidden_size": _WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "conv_dim": (16, 16), "conv_kernel": (10, 3), "conv_stride": (5, 2), "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "vocab_size": 32,
}  # fmt: skip


def _tokens(length: int = _LENGTH) -> torch.Tensor:
    return torch.randint(3, _VOCABULARY, (_BATCH, length))


def text(masked: bool = True) -> dict[str, torch.Tensor]:
    """Token ids, and a mask that hides the last tokens of the second text."""
    inputs = {"input_ids": _tokens()}
    if masked:
        mask = torch.ones(_BATCH, _LENGTH, dtype=torch.int64)
        mask[1, -2:] = 0
        inputs["attention_mask"] = mask
    return inputs


def _images(side: int = 32) -> dict[str, torch.Tensor]:
    return {"pixel_values": torch.randn(_BATCH, 3, side, side)}


def _both_texts() -> dict[str, torch.Tensor]:
    return {**text(), "decoder_input_ids": _tokens(5)}


def _made(
    model: str, config: str, settings: dict[str, Any], inputs: Callable[[], dict[str, torch.Tensor]], **more: Any
) -> Callable[[Any], Made]:
    def make(transformers: Any) -> Made:
        described = getattr(transformers, config)(**{**_WEIGHTS, **settings, **more})
        return getattr(transformers, model)(described), inputs()

    return make


def _clip(transformers: Any) -> Made:
    words = {
        **_ENCODER,
        "initializer_factor": 10.0,
        "projection_dim": 16,
        "eos_token_id": 2,
        "bos_token_id": 1,
        "pad_token_id": 0,
    }
    config = transformers.CLIPConfig(
        text_config=words,
        vision_config={**_IMAGES, "initializer_factor": 10.0, "projection_dim": 16},
        projection_dim=16,
    )
    return transformers.CLIPModel(config), {**text(), **_images()}


def _siglip(transformers: Any) -> Made:
    config = transformers.SiglipConfig(text_config=_ENCODER, vision_config=_IMAGES)
    return transformers.SiglipModel(config), {**text(masked=False), **_images()}


def _whisper(transformers: Any) -> Made:
    config = transformers.WhisperConfig(
        **_WEIGHTS, **_SEQ2SEQ, num_mel_bins=8, max_source_positions=16, max_target_positions=16
    )
    inputs = {"input_features": torch.randn(_BATCH, 8, 32), "decoder_input_ids": _tokens(5)}
    return transformers.WhisperForConditionalGeneration(config), inputs


TRANSFORMERS: dict[str, Callable[[Any], Made]] = {
    "albert": _made("AlbertModel", "AlbertConfig", _ENCODER, text, embedding_size=16),
    "bart": _made("BartModel", "BartConfig", _SEQ2SEQ, _both_texts),
    "beit": _made("BeitModel", "BeitConfig", _IMAGES, _images),
    "bert": _made("BertModel", "BertConfig", _ENCODER, text),
    "bert_classifier": _made("BertForSequenceClassification", "BertConfig", _ENCODER, text, num_labels=3),
    "bloom": _made("BloomModel", "BloomConfig", {"vocab_size": _VOCABULARY, "hidden_size": _WIDTH, "n_layer": 2,
                                                 "n_head": 4}, text),
    "clip": _clip,
    "convnext": _made("ConvNextModel", "ConvNextConfig", {"hidden_sizes": [16, 32], "depths": [1, 2],
                                                          "num_stages": 2}, _images),
    "convnextv2": _made("ConvNextV2Model", "ConvNextV2Config", {"hidden_sizes": [16, 32], "depths": [1, 2],
                                                                "num_stages": 2}, _images),
    "deberta_v2": _made("DebertaV2Model", "DebertaV2Config", _ENCODER, text),
    "deit": _made("DeiTModel", "DeiTConfig", _IMAGES, _images),
    "dinov2": _made("Dinov2Model", "Dinov2Config", _IMAGES, _images),
    "distilbert": _made("DistilBertModel", "DistilBertConfig", {"vocab_size": _VOCABULARY, "dim": _WIDTH,
                        "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 64}, text),
    "electra": _made("ElectraModel", "ElectraConfig", _ENCODER, text, embedding_size=16),
    "falcon": _made("FalconModel", "FalconConfig", _BASE, text, num_kv_heads=2),
    "gemma": _made("GemmaModel", "GemmaConfig", _DECODER, text),
    "gemma2": _made("Gemma2Model", "Gemma2Config", _DECODER, text, sliding_window=4),
    "gpt2": _made("GPT2Model", "GPT2Config", _GPT, text),
    "gpt2_lm": _made("GPT2LMHeadModel", "GPT2Config", _GPT, text),
    "gpt_neo": _made("GPTNeoModel", "GPTNeoConfig", {"vocab_size": _VOCABULARY, "hidden_size": _WIDTH,
                     "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]],
                     "max_position_embeddings": 64, "window_size": 4}, text),
    "gpt_neox": _made("GPTNeoXModel", "GPTNeoXConfig", _ENCODER, text),
    "gptj": _made("GPTJModel", "GPTJConfig", _GPT, text, rotary_dim=4),
    "hubert": _made("HubertModel", "HubertConfig", _SOUND, lambda: {"input_values": torch.randn(_BATCH, 400)}),
    "llama": _made("LlamaForCausalLM", "LlamaConfig", _DECODER, text),
    "longt5": _made("LongT5Model", "LongT5Config", _T5, _both_texts, local_radius=4),
    "marian": _made("MarianModel", "MarianConfig", _SEQ2SEQ, _both_texts),
    "mistral": _made("MistralForCausalLM", "MistralConfig", _DECODER, text, sliding_window=4),
    "mobilebert": _made("MobileBertModel", "MobileBertConfig", _ENCODER, text, embedding_size=16,
                        intra_bottleneck_size=16, true_hidden_size=16),
    "mobilevit": _made("MobileViTModel", "MobileViTConfig", {"hidden_sizes": [16, 24, 32],
                       "neck_hidden_sizes": [8, 12, 16, 20, 24, 28, 32], "num_attention_heads": 4,
                       "image_size": 64}, lambda: _images(64)),
    "mpnet": _made("MPNetModel", "MPNetConfig", _ENCODER, text),
    "mpt": _made("MptModel", "MptConfig", {"vocab_size": _VOCABULARY, "d_model": _WIDTH, "n_layers": 2,
                                           "n_heads": 4, "max_seq_len": 64}, text),
    "opt": _made("OPTModel", "OPTConfig", _ENCODER, text, ffn_dim=48, word_embed_proj_dim=_WIDTH, pad_token_id=1),
    "phi": _made("PhiForCausalLM", "PhiConfig", _ENCODER, text),
    "phi3": _made("Phi3ForCausalLM", "Phi3Config", _ENCODER, text, pad_token_id=0),
    "pvt_v2": _made("PvtV2Model", "PvtV2Config", {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1],
                    "num_attention_heads": [1, 2, 3, 4], "image_size": 64}, lambda: _images(64)),
    "qwen2": _made("Qwen2ForCausalLM", "Qwen2Config", _DECODER, text),
    "qwen3": _made("Qwen3ForCausalLM", "Qwen3Config", _DECODER, text),
    "regnet": _made("RegNetModel", "RegNetConfig", {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 2],
                                                    "groups_width": 4}, _images),
    "resnet": _made("ResNetModel", "ResNetConfig", {"embedding_size": 8, "hidden_sizes": [16, 32],
                                                    "depths": [1, 2]}, _images),
    "roberta": _made("RobertaModel", "RobertaConfig", _ENCODER, text),
    "segformer": _made("SegformerModel", "SegformerConfig", {"hidden_sizes": [8, 16, 24, 32],
                       "depths": [1, 1, 1, 1], "num_attention_heads": [1, 2, 3, 4]}, lambda: _images(64)),
    "siglip": _siglip,
    "squeezebert": _made("SqueezeBertModel", "SqueezeBertConfig", _ENCODER, text, embedding_size=_WIDTH),
    "stablelm": _made("StableLmModel", "StableLmConfig", _DECODER, text),
    "starcoder2": _made("Starcoder2Model", "Starcoder2Config", _DECODER, text),
    "swin": _made("SwinModel", "SwinConfig", _STAGES, _images),
    "swinv2": _made("Swinv2Model", "Swinv2Config", _STAGES, _images),
    "t5": _made("T5Model", "T5Config", _T5, _both_texts),
    "t5_encoder": _made("T5EncoderModel", "T5Config", _T5, text),
    "vit": _made("ViTModel", "ViTConfig", _IMAGES, _images),
    "vit_classifier": _made("ViTForImageClassification", "ViTConfig", _IMAGES, _images),
    "wav2vec2": _made("Wav2Vec2Model", "Wav2Vec2Config", _SOUND, lambda: {"input_values": torch.randn(_BATCH, 400)}),
    "whisper": _whisper,
    "xlm_roberta": _made("XLMRobertaModel", "XLMRobertaConfig", _ENCODER, text),
}  # fmt: skip
"""Architecture -> a function of the imported library that makes the model and its inputs by keyword."""
