"""Modalities made by published networks: slow, closer to real sensors, and an optional extra (`xmatch[generators]`).

The same interface as `xmatch.synth.modalities`, so either kind can stand in for the other. Weights come from a folder
or by their name on the Hugging Face hub, as safetensors only; nothing of theirs ships with xmatch. Each carries the
licence that its model card states: what is trained on its images may have to follow it.
"""
