"""The CDK application: settings, what AWS allows, and the stacks made of them."""
