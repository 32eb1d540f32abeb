"""Networks: frozen configs and nn.Modules, one folder each. They read no files and choose no device."""
