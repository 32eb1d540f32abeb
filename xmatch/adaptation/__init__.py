"""Few-shot adaptation: a trained matcher learns one's own two sensors from few labelled pairs and many unlabelled ones.

The method is PL-F ("Towards few-shot adaptation for dense cross-modality image matching"); docs/adaptation.md has its
equations, and what differs here.
"""
