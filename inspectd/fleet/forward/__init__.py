"""The forwarder: what one line records goes into its stream on the plant's servers."""
