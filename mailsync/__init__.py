"""Everything of the product that touches the world: settings, vendors, storage, and the steps that use them."""
